/**
 * The only file that uses `sessionStorage`: what one browser tab keeps through a refresh and the sign-in redirect.
 * MSAL keeps its tokens in the same storage, by itself.
 *
 * A browser may refuse storage (private mode, full quota). Then the page still works, but a refresh loses its state.
 */

const PREFIX = 'onbrand.';

export function saveToTab(key: string, value: unknown): void {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // The browser refuses storage: see above.
  }
}

/** Returns the stored value, or undefined. The caller must check its shape: an older version may have written it. */
export function loadFromTab(key: string): unknown {
  try {
    const text = sessionStorage.getItem(PREFIX + key);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function forgetInTab(key: string): void {
  try {
    sessionStorage.removeItem(PREFIX + key);
  } catch {
    // The browser refuses storage, so there is nothing to remove.
  }
}

/** Removes everything that anybody stored, MSAL's tokens too. Called at a sign-out without MSAL. */
export function clearWholeTab(): void {
  try {
    sessionStorage.clear();
  } catch {
    // As above.
  }
}

/** Removes everything that Onbrand stored. Called at sign-out. */
export function clearTab(): void {
  try {
    const keys = Array.from({ length: sessionStorage.length }, (_, index) => sessionStorage.key(index));
    for (const key of keys) {
      if (key?.startsWith(PREFIX)) sessionStorage.removeItem(key);
    }
  } catch {
    // The browser refuses storage, so there is nothing to remove.
  }
}
