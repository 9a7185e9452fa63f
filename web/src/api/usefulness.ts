/** Whether a run was of use: a picture of it was kept, may the person be asked about it, and what they said. */
import { answer, type Api } from './client';

/** Whether to ask about this job now; the server grants it to a person once in 14 days. */
export async function askQuestion(api: Api, jobId: string): Promise<{ jobId: string; ask: boolean }> {
  const { ask } = await answer(api.client.POST('/jobs/{job_id}/question', { params: { path: { job_id: jobId } } }));
  return { jobId, ask };
}

export type Verdict = { useful: boolean | null; comment: string | null };

/** `useful: null` says that the person closed the question without an answer. */
export function answerQuestion(api: Api, jobId: string, verdict: Verdict): Promise<unknown> {
  return answer(api.client.PUT('/jobs/{job_id}/answer', { params: { path: { job_id: jobId } }, body: verdict }));
}

/** Counts the run among those of which a picture was kept; which and how many is not told. Resolves to true. */
export async function noteSaved(api: Api, jobId: string): Promise<boolean> {
  await answer(api.client.PUT('/jobs/{job_id}/saved', { params: { path: { job_id: jobId } } }));
  return true; // a query's answer may not be undefined
}
