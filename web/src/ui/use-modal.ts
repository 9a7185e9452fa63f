/** A native modal dialog that is open while its component is mounted. Afterwards the focus returns to where it was. */
import { useEffect, useEffectEvent, useLayoutEffect, useRef, type RefObject } from 'react';

/** `onClose` is called for Esc and for a click on the backdrop. The component must then unmount the dialog. */
export function useModal(onClose: () => void): RefObject<HTMLDialogElement | null> {
  const ref = useRef<HTMLDialogElement>(null);
  const close = useEffectEvent(onClose);

  useLayoutEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement;
    if (dialog === null) return undefined;
    dialog.showModal();
    dialog.focus(); // instead of its first button, so that a screen reader reads the dialog's name
    return () => {
      dialog.close();
      // Some browsers don't return the focus to an element that was clicked with a pointer.
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);

  useEffect(() => {
    const dialog = ref.current;
    if (dialog === null) return undefined;
    const listeners = new AbortController();
    const { signal } = listeners;
    // The browser sends `close` a moment after closing. The dialog may be open again by then.
    dialog.addEventListener('close', () => dialog.open || close(), { signal });
    // A click counts only if it also began on the backdrop: a person may select text and release the button outside.
    let beganOutside = false;
    dialog.addEventListener('pointerdown', ({ target }) => (beganOutside = target === dialog), { signal });
    dialog.addEventListener('click', ({ target }) => target === dialog && beganOutside && close(), { signal });
    return () => listeners.abort();
  }, []);

  return ref;
}
