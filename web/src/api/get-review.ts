/** Gets a blind review: its rule and cards. What the cards show comes only with this person's own verdict. */
import { responseData, type Api } from './client';
import type { components } from './schema';

export type Review = components['schemas']['ReviewView'];
export type Verdict = components['schemas']['VerdictView'];
export type RevealedCard = components['schemas']['RevealedCard'];
export type Aside = components['schemas']['AsideView'];
export type CardAnswer = components['schemas']['CardAnswerBody'];
export type Answer = components['schemas']['Answer'];
export type Reason = components['schemas']['Reason'];

export function getReview(api: Api, id: string, signal: AbortSignal): Promise<Review> {
  return responseData(api.client.GET('/reviews/{review_id}', { params: { path: { review_id: id } }, signal }));
}
