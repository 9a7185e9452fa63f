/** A pause during which something may not happen again. */
import { useCallback, useEffect, useRef, useState } from 'react';

/** `isCoolingDown` is true for `milliseconds` after each call of `begin`. */
export function useCooldown(milliseconds: number): { isCoolingDown: boolean; begin: () => void } {
  const [isCoolingDown, setIsCoolingDown] = useState(false);
  const timer = useRef<number>(undefined);
  // A timer that outlives the component would update a page that is gone.
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const begin = useCallback(() => {
    setIsCoolingDown(true);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setIsCoolingDown(false), milliseconds);
  }, [milliseconds]);
  return { isCoolingDown, begin };
}
