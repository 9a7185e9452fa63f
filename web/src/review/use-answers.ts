/** The answers of one person to one review, kept in the browser until they are sent: a refresh loses nothing. */
import { useCallback, useEffect, useReducer, type Dispatch } from 'react';
import { forgetInBrowser, keepInBrowser, keptInBrowser } from '../browser-storage';
import { answersReducer, noAnswers, parseAnswers, type Action, type Answers } from './answers';

type Kept = { review: string; answers: unknown };

type UseAnswers = [answers: Answers, dispatch: Dispatch<Action>, forget: () => void];

export function useAnswers(accountId: string, reviewId: string, count: number): UseAnswers {
  const [answers, dispatch] = useReducer(answersReducer, null, () => load(accountId, reviewId, count));
  useEffect(() => {
    if (answers.isBegun) keepInBrowser(accountId, name(reviewId), { review: reviewId, answers } satisfies Kept);
  }, [accountId, reviewId, answers]);
  const forget = useCallback(() => forgetInBrowser(accountId, name(reviewId)), [accountId, reviewId]);
  return [answers, dispatch, forget];
}

const name = (reviewId: string) => `review.${reviewId}`;

function load(accountId: string, reviewId: string, count: number): Answers {
  const kept = keptInBrowser(accountId).find((value) => isKept(value) && value.review === reviewId);
  return (isKept(kept) ? parseAnswers(kept.answers, count) : undefined) ?? noAnswers(count);
}

function isKept(value: unknown): value is Kept {
  return typeof value === 'object' && value !== null && 'review' in value && 'answers' in value;
}
