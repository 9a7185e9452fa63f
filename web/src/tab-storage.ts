/**
 * What this tab remembers through a refresh and the sign-in redirect. No tokens: MSAL keeps those itself.
 *
 * A browser may refuse storage (private mode, full quota); then the page works, it only forgets on refresh.
 */

const PREFIX = 'onbrand.';

export function remember(key: string, value: unknown): void {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Nothing to do: see above.
  }
}

/** What was remembered, or undefined. Its shape is the caller's to check: an older version may have written it. */
export function recall(key: string): unknown {
  try {
    const text = sessionStorage.getItem(PREFIX + key);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Everything of ours, on sign-out. */
export function forgetAll(): void {
  try {
    const keys = Array.from({ length: sessionStorage.length }, (_, index) => sessionStorage.key(index));
    for (const key of keys) {
      if (key?.startsWith(PREFIX)) sessionStorage.removeItem(key);
    }
  } catch {
    // Nothing was stored either.
  }
}
