/** Keys that work wherever the focus is, by the names of `KeyboardEvent.key` in lower case letters. */
import { useEffect, useEffectEvent } from 'react';

/**
 * An action that returns false leaves the key to the browser, as do Ctrl, Cmd and Alt. A letter that is held acts once.
 */
export function useKeys(keys: Record<string, () => unknown>): void {
  const press = useEffectEvent((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const isLetter = event.key.length === 1;
    const act = keys[isLetter ? event.key.toLowerCase() : event.key];
    if (act === undefined || (isLetter && event.repeat)) return;
    if (act() !== false) event.preventDefault();
  });
  useEffect(() => {
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, []);
}
