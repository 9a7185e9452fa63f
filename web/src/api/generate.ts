/** Asks for four illustrations. The same key with the same prompt is the same job, however often it is sent. */
import { answer, type Api } from './client';
import type { components } from './schema';

export type Accepted = components['schemas']['GenerateAccepted'];

export function generate(api: Api, prompt: string, idempotencyKey: string): Promise<Accepted> {
  return answer(
    api.client.POST('/generate', { body: { prompt }, params: { header: { 'idempotency-key': idempotencyKey } } }),
  );
}
