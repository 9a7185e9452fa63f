/** Cancels a job that isn't finished. A finished job stays as it is. Returns the job. */
import { responseData, type Api } from './client';
import type { Job } from './get-job';

export function cancelJob(api: Api, id: string): Promise<Job> {
  return responseData(api.client.DELETE('/jobs/{job_id}', { params: { path: { job_id: id } } }));
}
