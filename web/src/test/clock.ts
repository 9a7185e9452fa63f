/**
 * The clock of the tests. It runs by itself, at most as fast as the real one, and a test can move it forward.
 *
 * So no test waits for real seconds to pass, and on a busy machine the clock is slower rather than the test too late.
 */
import { act } from '@testing-library/react';
import { vi } from 'vitest';

/** How often the clock moves, and by how much. */
const TICK_MS = 10;

/** `isStopped`: the clock moves only when the test moves it. */
export function startClock({ isStopped = false } = {}): void {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'],
    shouldAdvanceTime: !isStopped,
    advanceTimeDelta: TICK_MS,
  });
}

export function stopClock(): void {
  vi.useRealTimers();
}

/** Moves the clock forward and runs the timers on the way. */
export async function passTime(ms: number): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

const { setImmediate: nextTurn } = globalThis;

/** Lets replies arrive and React render them. Moves the clock by `msPerTurn` in each turn of the event loop. */
export async function settle(turns = 30, msPerTurn = 0): Promise<void> {
  await act(async () => {
    for (let turn = 0; turn < turns; turn += 1) {
      await vi.advanceTimersByTimeAsync(msPerTurn);
      await new Promise<void>((resolve) => void nextTurn(resolve));
    }
  });
}
