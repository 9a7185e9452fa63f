/**
 * The answers of one person while they go through the cards: pure data. Nothing leaves the browser before all cards are
 * answered and the person sends them.
 */
import type { Answer, CardAnswer, Reason } from '../api/get-review';

export const ANSWERS: readonly Answer[] = ['as_is', 'small_fix', 'no'];
export const REASONS: readonly Reason[] = [
  'colour',
  'line',
  'shading',
  'background',
  'composition',
  'wrong_object',
  'artefact',
  'copy',
];

export type Draft = { answer: Answer | null; reasons: Reason[] };

export type Answers = {
  isBegun: boolean;
  /** The card that is shown, from 0. After the last card it is their number: the person looks over all answers. */
  at: number;
  cards: Draft[];
  /** The answered cards in the order in which they were answered, for undo. */
  answered: number[];
};

export type Action =
  | { kind: 'begin' }
  | { kind: 'answer'; answer: Answer }
  | { kind: 'toggle'; reason: Reason }
  | { kind: 'go'; to: number }
  | { kind: 'undo' };

export function noAnswers(count: number): Answers {
  const cards = Array.from({ length: count }, () => ({ answer: null, reasons: [] }));
  return { isBegun: false, at: 0, cards, answered: [] };
}

export function answersReducer(state: Answers, action: Action): Answers {
  switch (action.kind) {
    case 'begin':
      return { ...state, isBegun: true };
    case 'answer':
      return answered(state, action.answer);
    case 'toggle':
      return changed(state, state.at, (card) => ({ ...card, reasons: toggled(card, action.reason) }));
    case 'go':
      return mayGo(state, action.to) ? { ...state, at: action.to } : state;
    case 'undo':
      return undone(state);
  }
}

/** A person moves forward only past cards that are answered, and never beyond the look over all answers. */
export function mayGo(state: Answers, to: number): boolean {
  if (to < 0 || to > state.cards.length) return false;
  return to < state.at || state.cards.slice(state.at, to).every(({ answer }) => answer !== null);
}

export function countAnswered(state: Answers): number {
  return state.cards.filter(({ answer }) => answer !== null).length;
}

/** The answers as they are sent; null unless every card is answered. */
export function completeAnswers({ cards }: Answers): CardAnswer[] | null {
  const complete = cards.flatMap(({ answer, reasons }) => (answer === null ? [] : [{ answer, reasons }]));
  return complete.length === cards.length ? complete : null;
}

/** What is right as it is has no reason against it, except that it exists already. */
export function isReasonAvailable(answer: Answer | null, reason: Reason): boolean {
  return answer !== 'as_is' || reason === 'copy';
}

function answered(state: Answers, answer: Answer): Answers {
  if (state.at >= state.cards.length) return state;
  const next = changed(state, state.at, ({ reasons }) => ({
    answer,
    reasons: reasons.filter((reason) => isReasonAvailable(answer, reason)),
  }));
  return { ...next, answered: [...state.answered.filter((index) => index !== state.at), state.at] };
}

function undone(state: Answers): Answers {
  const last = state.answered.at(-1);
  if (last === undefined) return state;
  const next = changed(state, last, () => ({ answer: null, reasons: [] }));
  return { ...next, at: last, answered: state.answered.slice(0, -1) };
}

function changed(state: Answers, at: number, change: (card: Draft) => Draft): Answers {
  return { ...state, cards: state.cards.map((card, index) => (index === at ? change(card) : card)) };
}

function toggled({ answer, reasons }: Draft, reason: Reason): Reason[] {
  if (reasons.includes(reason)) return reasons.filter((other) => other !== reason);
  return isReasonAvailable(answer, reason) ? REASONS.filter((one) => one === reason || reasons.includes(one)) : reasons;
}

/** Answers from the browser's storage; undefined unless they have the shape of this version and fit the review. */
export function parseAnswers(value: unknown, count: number): Answers | undefined {
  if (!isRecord(value) || typeof value['isBegun'] !== 'boolean') return undefined;
  const { isBegun, at, cards, answered: order } = value;
  if (typeof at !== 'number' || !Number.isInteger(at) || at < 0 || at > count) return undefined;
  if (!Array.isArray(cards) || cards.length !== count || !cards.every(isDraft)) return undefined;
  const indices = cards.flatMap(({ answer }, index) => (answer === null ? [] : [index]));
  if (!Array.isArray(order) || !isPermutation(order, indices)) return undefined;
  if (cards.slice(0, at).some(({ answer }) => answer === null)) return undefined;
  return { isBegun, at, cards, answered: order };
}

function isPermutation(order: unknown[], indices: number[]): order is number[] {
  return order.length === indices.length && indices.every((index) => order.includes(index));
}

function isDraft(value: unknown): value is Draft {
  if (!isRecord(value) || !Array.isArray(value['reasons'])) return false;
  const { answer, reasons } = value;
  const isKnown = answer === null || ANSWERS.some((one) => one === answer);
  return isKnown && reasons.every((reason) => REASONS.some((one) => one === reason));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
