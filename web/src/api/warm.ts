/** Says that somebody is about to generate, so that a GPU may be started. */
import { answer, type Api } from './client';

export function warm(api: Api): Promise<unknown> {
  return answer(api.client.POST('/warm'));
}
