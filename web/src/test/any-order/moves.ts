/** The random moves of `any-order.test.tsx`: what a person, the server or the network does next. */
import fc from 'fast-check';
import { FATES, KINDS } from '../bad-network';

const MAX_MOVES = 20;

/** Selects a card or a job. Larger than the list, it starts again at the first, so that it always selects one. */
const index = fc.nat({ max: 11 });
/** What happens to the first poll of a job. It is sent together with the request for the stream. */
export const firstPoll = fc.constantFrom('answer' as const, 'hold' as const, 'hold' as const, 'lose reply' as const);
const press = fc.constantFrom('click', 'double click', 'Ctrl+Enter', 'held Ctrl+Enter');
const move = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('press' as const),
      how: press,
      prompt: fc.constantFrom('a teapot', 'a red backpack'),
      afterMs: fc.constantFrom(0, 1_250, 1_250), // a press within a second after another is ignored
      fates: fc.array(fc.constantFrom('answer' as const, ...FATES), { maxLength: 2 }),
      firstPoll,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('on card' as const),
      what: fc.constantFrom('again', 'more', 'cancel', 'remove', 'try picture', 'break picture', 'download', 'select'),
      card: index,
      n: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('server' as const),
      what: fc.constantFrom('draw', 'draw', 'draw', 'queue again', 'complete', 'fail', 'hang up'),
      job: index,
      by: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fate' as const),
      kind: fc.constantFrom(...KINDS),
      fate: fc.constantFrom(...FATES),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.constantFrom('oldest', 'newest') }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1_100, 1_700, 2_600),
      poll: fc.constantFrom('answer' as const, 'answer' as const, 'hold' as const, 'mix up' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mute' as const), isMute: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('refresh' as const), firstPoll }) },
);
/** A list of moves. */
export const moves = fc.array(move, { minLength: MAX_MOVES / 2, maxLength: MAX_MOVES, size: 'max' });
export type Move = typeof move extends fc.Arbitrary<infer M> ? M : never;
export type MoveOf<K extends Move['do']> = Extract<Move, { do: K }>;
