/**
 * In whatever order replies, errors and clicks come: a run has one state at a time, no result is lost or doubled, and
 * no card shows the picture of another job.
 *
 * A play is a list of random moves of the person, of the server and of the network. After each move the test compares
 * the whole page with what was clicked and with what the server has. At the end the network works again, and all
 * pictures must appear.
 */
import fc from 'fast-check';
import { beforeEach, test, vi } from 'vitest';
import { firstPoll, moves } from '../test/any-order/moves';
import { Play } from '../test/any-order/play';
import { startClock } from '../test/clock';
import { recordDownloads } from '../test/downloads';
import { server } from '../test/server';

/** The same plays each time. fast-check prints a failed play with the path that repeats it. */
const SEED = 20_260_128;
const PLAYS = 40;

// Here the clock stands still until a move advances it, so that each play runs the same way every time.
beforeEach(() => startClock({ isStopped: true }));

test('no order of replies, errors and clicks shows two states, loses a result or mixes jobs up', async () => {
  const saved = recordDownloads();
  await fc.assert(
    fc.asyncProperty(firstPoll, moves, async (poll, list) => {
      server.resetHandlers();
      sessionStorage.clear();
      localStorage.clear();
      saved.length = 0;
      const play = new Play(saved);
      try {
        await play.open();
        await play.make({ do: 'press', how: 'click', prompt: 'a teapot', afterMs: 0, fates: [], firstPoll: poll });
        for (const move of list) await play.make(move);
        await play.end();
      } finally {
        play.close();
        vi.clearAllTimers();
      }
    }),
    { seed: SEED, numRuns: PLAYS, endOnFailure: true },
  );
}, 300_000);
