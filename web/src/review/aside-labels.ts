/** What each picture that a drawing is compared with is called, in their order. */
import type { Aside } from '../api/get-review';
import { reviewStrings } from './review-strings';

export function asideLabels(asides: Aside[]): string[] {
  const { base, nearest, next } = reviewStrings.compare.labels;
  const first = asides.findIndex(({ kind }) => kind === 'training');
  return asides.map(({ kind }, index) => (kind === 'base' ? base : index === first ? nearest : next));
}
