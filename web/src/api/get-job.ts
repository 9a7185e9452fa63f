/** Gets a job in its current state. */
import { responseData, type Api } from './client';
import type { components } from './schema';

export type Job = components['schemas']['JobView'];

export function getJob(api: Api, id: string, signal: AbortSignal): Promise<Job> {
  return responseData(api.client.GET('/jobs/{job_id}', { params: { path: { job_id: id } }, signal }));
}
