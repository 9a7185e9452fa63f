/** Sends all answers of a person about a review. They are stored once; the same answers again are no error. */
import { responseData, type Api } from './client';
import type { CardAnswer, Verdict } from './get-review';

export function sendVerdict(api: Api, id: string, answers: CardAnswer[]): Promise<Verdict> {
  const call = api.client.PUT('/reviews/{review_id}/verdict', {
    params: { path: { review_id: id } },
    body: { answers },
  });
  return responseData(call);
}
