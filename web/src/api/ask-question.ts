/** Asks whether the page may show "Was this useful?" about a job now. The server allows it once in 14 days a person. */
import { responseData, type Api } from './client';

export async function askQuestion(api: Api, jobId: string): Promise<{ jobId: string; isAllowed: boolean }> {
  const call = api.client.POST('/jobs/{job_id}/question', { params: { path: { job_id: jobId } } });
  const { ask } = await responseData(call);
  return { jobId, isAllowed: ask };
}
