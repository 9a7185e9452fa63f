/** Sends a person's answer to "Was this useful?" about one job. */
import { responseData, type Api } from './client';

/** `useful: null` means that the person closed the question without an answer. */
export type Answer = { useful: boolean | null; comment: string | null };

export function answerQuestion(api: Api, jobId: string, answer: Answer): Promise<unknown> {
  return responseData(api.client.PUT('/jobs/{job_id}/answer', { params: { path: { job_id: jobId } }, body: answer }));
}
