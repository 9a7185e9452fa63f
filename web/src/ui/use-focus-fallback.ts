/**
 * Keeps the keyboard's place when what had the focus goes away: a button that was pressed and is no longer there.
 *
 * The browser would start again at the top of the page.
 */
import { useEffect, useLayoutEffect, useRef, type RefObject } from 'react';

/** `instead` finds the element that gets the focus in place of `lost`, which was within `container`. */
export function useKeptFocus(
  container: RefObject<HTMLElement | null>,
  instead: (lost: Lost) => HTMLElement | null,
): void {
  const latest = useRef<Lost>(null);
  useEffect(() => {
    const element = container.current;
    if (element === null) return undefined;
    const note = ({ target }: FocusEvent) => {
      if (target instanceof HTMLElement) latest.current = { element: target, card: target.closest('article') };
    };
    element.addEventListener('focusin', note);
    return () => element.removeEventListener('focusin', note);
  }, [container]);
  // After every change: that is when something may have gone.
  useLayoutEffect(() => {
    const lost = latest.current;
    if (lost === null || lost.element.isConnected || document.activeElement !== document.body) return;
    latest.current = null;
    instead(lost)?.focus({ preventScroll: true });
  });
}

export type Lost = { element: HTMLElement; card: HTMLElement | null };
