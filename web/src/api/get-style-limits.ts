/** Gets what the model behind the live style knows, if it is a model of known limits. */
import { responseData, type Api } from './client';
import type { components } from './schema';

export type Known = components['schemas']['KnownView'];

export async function getKnown(api: Api, signal: AbortSignal): Promise<Known | null> {
  return (await responseData(api.client.GET('/style/limits', { signal }))).known;
}
