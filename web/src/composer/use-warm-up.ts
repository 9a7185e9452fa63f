/** Tells the server that a person is about to generate, at most once in four minutes. Nothing depends on the answer. */
import { useCallback, useRef } from 'react';
import { useApi } from '../api/api-context';
import { warmUp } from '../api/warm-up';

const PAUSE_MS = 4 * 60_000;

export function useWarmUp(): () => void {
  const api = useApi();
  const lastCall = useRef(-Infinity);
  return useCallback(() => {
    if (performance.now() - lastCall.current < PAUSE_MS) return;
    lastCall.current = performance.now();
    warmUp(api).catch(() => undefined); // if something is wrong, the generation will report it
  }, [api]);
}
