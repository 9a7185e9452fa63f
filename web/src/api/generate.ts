/** Asks for four illustrations. Two requests with the same key and prompt give the same job. */
import { responseData, type Api } from './client';
import type { components } from './schema';

export type Accepted = components['schemas']['GenerateAccepted'];

export function generate(api: Api, prompt: string, idempotencyKey: string): Promise<Accepted> {
  return responseData(
    api.client.POST('/generate', { body: { prompt }, params: { header: { 'idempotency-key': idempotencyKey } } }),
  );
}
