/** A native dialog that is open while it is rendered. Whoever had the focus before gets it back. */
import { useEffect, useEffectEvent, useLayoutEffect, useRef, type RefObject } from 'react';

/** `onClose` is asked for by Esc and by a press on the backdrop; the dialog goes when it isn't rendered any more. */
export function useModal(onClose: () => void): RefObject<HTMLDialogElement | null> {
  const ref = useRef<HTMLDialogElement>(null);
  const close = useEffectEvent(onClose);

  useLayoutEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement;
    if (dialog === null) return undefined;
    dialog.showModal();
    dialog.focus(); // not its first button: what is read out is its name
    return () => {
      dialog.close();
      // The browser does that too, but not everywhere when the opener was pressed with a pointer.
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);

  useEffect(() => {
    const dialog = ref.current;
    if (dialog === null) return undefined;
    const stopping = new AbortController();
    const { signal } = stopping;
    // The event comes a moment after the closing, when the dialog may have been opened again.
    dialog.addEventListener('close', () => dialog.open || close(), { signal });
    // Both ends of the press must be outside: selecting text may end there.
    let isPressedOutside = false;
    dialog.addEventListener('pointerdown', ({ target }) => (isPressedOutside = target === dialog), { signal });
    dialog.addEventListener('click', ({ target }) => target === dialog && isPressedOutside && close(), { signal });
    return () => stopping.abort();
  }, []);

  return ref;
}
