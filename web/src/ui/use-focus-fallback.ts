/**
 * Moves the keyboard focus when the focused element disappears, for example a button that was pressed. Without this the
 * browser would start again at the top of the page.
 */
import { useEffect, useLayoutEffect, useRef, type RefObject } from 'react';

export type LostFocus = { element: HTMLElement; card: HTMLElement | null };

/** `findFallback` returns the element that gets the focus instead. Only elements in `container` are watched. */
export function useFocusFallback(
  container: RefObject<HTMLElement | null>,
  findFallback: (lost: LostFocus) => HTMLElement | null,
): void {
  const focused = useRef<LostFocus>(null);
  useEffect(() => {
    const element = container.current;
    if (element === null) return undefined;
    const remember = ({ target }: FocusEvent) => {
      if (target instanceof HTMLElement) focused.current = { element: target, card: target.closest('article') };
    };
    element.addEventListener('focusin', remember);
    return () => element.removeEventListener('focusin', remember);
  }, [container]);
  // Runs after every render, because any render may have removed the element.
  useLayoutEffect(() => {
    const lost = focused.current;
    if (lost === null || lost.element.isConnected || document.activeElement !== document.body) return;
    focused.current = null;
    findFallback(lost)?.focus({ preventScroll: true });
  });
}
