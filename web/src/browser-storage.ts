/**
 * What this browser keeps for an account, in all its tabs and after they are closed (`localStorage`). It holds no
 * tokens. Each value has an entry of its own, so that two tabs which write at the same time lose nothing.
 *
 * A browser may refuse storage (private mode, full quota). Then the page still works, but a new tab starts empty.
 */

const prefix = (accountId: string) => `onbrand.kept.${accountId}.`;

export function keepInBrowser(accountId: string, name: string, value: unknown): void {
  try {
    localStorage.setItem(prefix(accountId) + name, JSON.stringify(value));
  } catch {
    // The browser refuses storage: see above.
  }
}

/** All values of an account. The caller must check their shape: an older version may have written them. */
export function keptInBrowser(accountId: string): unknown[] {
  try {
    return namesOf(accountId).map((name) => parse(localStorage.getItem(name)));
  } catch {
    return [];
  }
}

export function forgetInBrowser(accountId: string, name: string): void {
  try {
    localStorage.removeItem(prefix(accountId) + name);
  } catch {
    // The browser refuses storage, so there is nothing to remove.
  }
}

/** Removes everything that is kept for an account. Called at sign-out. */
export function forgetAccount(accountId: string): void {
  try {
    namesOf(accountId).forEach((name) => localStorage.removeItem(name));
  } catch {
    // As above.
  }
}

function namesOf(accountId: string): string[] {
  return Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index)).filter(
    (name): name is string => name?.startsWith(prefix(accountId)) === true,
  );
}

function parse(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
