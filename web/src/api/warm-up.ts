/** Tells the server that a person is about to generate, so that it can start a GPU. */
import { responseData, type Api } from './client';

export function warmUp(api: Api): Promise<unknown> {
  return responseData(api.client.POST('/warm'));
}
