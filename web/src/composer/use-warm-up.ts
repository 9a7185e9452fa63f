/** Tells the API that somebody is about to generate, at most every few minutes. Nothing depends on the answer. */
import { useCallback, useRef } from 'react';
import { useApi } from '../api/api-context';
import { warm } from '../api/warm';

const PAUSE_MS = 4 * 60_000;

export function useWarm(): () => void {
  const api = useApi();
  const last = useRef(-Infinity);
  return useCallback(() => {
    if (performance.now() - last.current < PAUSE_MS) return;
    last.current = performance.now();
    warm(api).catch(() => undefined); // the generation itself will say what is wrong
  }, [api]);
}
