import { expect, test } from 'vitest';
import {
  answersReducer,
  completeAnswers,
  countAnswered,
  mayGo,
  noAnswers,
  parseAnswers,
  type Action,
  type Answers,
} from './answers';

const COUNT = 3;

function after(...actions: Action[]): Answers {
  return actions.reduce(answersReducer, noAnswers(COUNT));
}

const begin: Action = { kind: 'begin' };
const yes: Action = { kind: 'answer', answer: 'as_is' };
const fix: Action = { kind: 'answer', answer: 'small_fix' };
const go = (to: number): Action => ({ kind: 'go', to });
const toggle = (reason: 'line' | 'copy' | 'colour'): Action => ({ kind: 'toggle', reason });
const undo: Action = { kind: 'undo' };

test('nobody moves past a card that is not answered, and back is always possible', () => {
  const state = after(begin, go(1));
  expect(state.at).toBe(0);
  expect(after(begin, yes, go(1), go(2)).at).toBe(1);
  expect(after(begin, yes, go(1), go(0)).at).toBe(0);
  expect(mayGo(after(begin, yes, go(1), fix, go(2)), COUNT + 1)).toBe(false);
  expect(mayGo(after(begin), -1)).toBe(false);
});

test('after the last card all answers are looked over, and only then they are complete', () => {
  const state = after(begin, yes, go(1), fix, toggle('line'), go(2));
  expect(completeAnswers(state)).toBeNull();
  const whole = answersReducer(answersReducer(state, { kind: 'answer', answer: 'no' }), go(3));
  expect(whole.at).toBe(COUNT);
  expect(completeAnswers(whole)).toEqual([
    { answer: 'as_is', reasons: [] },
    { answer: 'small_fix', reasons: ['line'] },
    { answer: 'no', reasons: [] },
  ]);
  expect(answersReducer(whole, yes)).toBe(whole);
});

test('undo takes the answers back in the order in which they were given', () => {
  let state = after(begin, yes, go(1), fix, go(0), fix);
  expect(state.answered).toEqual([1, 0]);
  state = answersReducer(state, undo);
  expect([state.at, countAnswered(state)]).toEqual([0, 1]);
  state = answersReducer(state, undo);
  expect([state.at, countAnswered(state)]).toEqual([1, 0]);
  expect(answersReducer(state, undo)).toBe(state);
});

test('a picture that is used as it is has no reason against it, but it may be a copy', () => {
  const state = after(begin, fix, toggle('line'), toggle('copy'), yes);
  expect(state.cards[0]).toEqual({ answer: 'as_is', reasons: ['copy'] });
  expect(answersReducer(state, toggle('colour')).cards[0]?.reasons).toEqual(['copy']);
  expect(answersReducer(state, toggle('copy')).cards[0]?.reasons).toEqual([]);
});

test('a reason may be chosen before the answer', () => {
  expect(after(begin, toggle('line'), toggle('colour'), fix).cards[0]).toEqual({
    answer: 'small_fix',
    reasons: ['colour', 'line'],
  });
});

test('what the browser kept comes back as it was', () => {
  const state = after(begin, yes, go(1), fix, toggle('line'));
  expect(parseAnswers(JSON.parse(JSON.stringify(state)), COUNT)).toEqual(state);
});

const KEPT = after(begin, yes, go(1));

test.each([
  ['nothing', undefined],
  ['null', null],
  ['a text', 'x'],
  ['other cards', { ...KEPT, cards: KEPT.cards.slice(1) }],
  ['an unknown answer', { ...KEPT, cards: KEPT.cards.map((card) => ({ ...card, answer: 'maybe' })) }],
  ['an unknown reason', { ...KEPT, cards: KEPT.cards.map((card) => ({ ...card, reasons: ['ugly'] })) }],
  ['a place that does not exist', { ...KEPT, at: 4 }],
  ['a place behind an open card', { ...KEPT, at: 2 }],
  ['half a place', { ...KEPT, at: 0.5 }],
  ['an order that does not fit', { ...KEPT, answered: [] }],
  ['an order with another card', { ...KEPT, answered: [2] }],
  ['no beginning', { ...KEPT, isBegun: 'yes' }],
])('kept answers with %s are left alone', (_, value) => {
  expect(parseAnswers(value, COUNT)).toBeUndefined();
});
