/** A value that holds for a short time, such as what was pressed a moment ago. */
import { useCallback, useEffect, useRef, useState } from 'react';

/** The value is null until `hold` is called, and again `milliseconds` after the latest call. */
export function useBriefly<T>(milliseconds: number): { value: T | null; hold: (value: T) => void } {
  const [value, setValue] = useState<T | null>(null);
  const timer = useRef<number>(undefined);
  // A timer that outlives the component would update a page that is gone.
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const hold = useCallback(
    (next: T) => {
      setValue(() => next);
      window.clearTimeout(timer.current);
      timer.current = window.setTimeout(() => setValue(null), milliseconds);
    },
    [milliseconds],
  );
  return { value, hold };
}
