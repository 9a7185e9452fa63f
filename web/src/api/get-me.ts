/** Gets the signed-in person, whether they may generate, and the style that draws for them. */
import { responseData, type Api } from './client';
import type { components } from './schema';

export type Me = components['schemas']['Me'];
export type Style = components['schemas']['StyleView'];

export function getMe(api: Api, signal: AbortSignal): Promise<Me> {
  return responseData(api.client.GET('/me', { signal }));
}
