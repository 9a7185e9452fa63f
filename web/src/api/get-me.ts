/** Who is signed in, whether they may generate, and the style that is live. */
import { answer, type Api } from './client';
import type { components } from './schema';

export type Me = components['schemas']['Me'];
export type Style = components['schemas']['StyleView'];

export function getMe(api: Api, signal: AbortSignal): Promise<Me> {
  return answer(api.client.GET('/me', { signal }));
}
