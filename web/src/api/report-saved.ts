/** Tells the server that the person saved a picture of this job. The call doesn't say which picture, or how many. */
import { responseData, type Api } from './client';

/** Resolves to true, because the result of a query may not be undefined. */
export async function reportSaved(api: Api, jobId: string): Promise<boolean> {
  await responseData(api.client.PUT('/jobs/{job_id}/saved', { params: { path: { job_id: jobId } } }));
  return true;
}
