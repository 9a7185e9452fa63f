/** The title of the tab says how far the review is. */
import { useEffect } from 'react';
import type { Answers } from './answers';
import { reviewStrings as text } from './review-strings';

export function useReviewTitle({ isBegun, at }: Answers, count: number): void {
  useEffect(() => {
    document.title = isBegun && at < count ? text.cardTitle(at + 1, count) : text.documentTitle;
  }, [isBegun, at, count]);
}
