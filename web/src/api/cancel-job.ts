/** Ends a job that isn't finished; a finished one stays as it is. Returns the job. */
import { answer, type Api } from './client';
import type { Job } from './get-job';

export function cancelJob(api: Api, id: string): Promise<Job> {
  return answer(api.client.DELETE('/jobs/{job_id}', { params: { path: { job_id: id } } }));
}
