/**
 * Asks whether the page may show "Was this useful?" about a job now. The server allows it once in 14 days a person.
 * A question about an older job (`insteadOf`) that has no answer yet is about this job from here on.
 */
import { responseData, type Api } from './client';

export async function askQuestion(
  api: Api,
  jobId: string,
  insteadOf?: string,
): Promise<{ jobId: string; isAllowed: boolean }> {
  const params = { path: { job_id: jobId }, query: { instead_of: insteadOf } };
  const call = api.client.POST('/jobs/{job_id}/question', { params });
  const { ask } = await responseData(call);
  return { jobId, isAllowed: ask };
}
