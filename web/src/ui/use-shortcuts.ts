/** Keyboard shortcuts that work wherever the focus is. */
import { useEffect, useEffectEvent } from 'react';

/**
 * `shortcuts` maps a `KeyboardEvent.key` (letters in lower case) to its action. Keys with Ctrl, Cmd or Alt belong to
 * the browser, and so does a key whose action returns false. A letter that is held down acts once.
 */
export function useShortcuts(shortcuts: Record<string, () => unknown>): void {
  const onKeyDown = useEffectEvent((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const isLetter = event.key.length === 1;
    const action = shortcuts[isLetter ? event.key.toLowerCase() : event.key];
    if (action === undefined || (isLetter && event.repeat)) return;
    if (action() !== false) event.preventDefault();
  });
  useEffect(() => {
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  }, []);
}
