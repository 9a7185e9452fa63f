/**
 * Which picture is shown large. It is kept in the tab's history: Back closes the picture, Forward shows it again, and a
 * refresh keeps it.
 *
 * The only file that writes the history. However the picture is closed, its entry is left, so that the next Back leads
 * away from the page as before.
 */
import { useSyncExternalStore } from 'react';

type Enlarged = { runKey: string; n: number };

const KEY = 'onbrand.enlarged';
const listeners = new Set<() => void>();
let current: Enlarged | null = read(window.history.state);
/** The browser leaves an entry a moment after it was told to. What is opened meanwhile gets its entry afterwards. */
let isLeaving = false;

window.addEventListener('popstate', ({ state }) => {
  if (!isLeaving) current = read(state);
  else if (current !== null) push(current);
  isLeaving = false;
  tell();
});

/** The number of the picture of this run that is large, or null. */
export function useEnlarged(runKey: string): number | null {
  return useSyncExternalStore(subscribe, () => (current?.runKey === runKey ? current.n : null));
}

/** The run whose picture is large, or null. */
export function useEnlargedRun(): string | null {
  return useSyncExternalStore(subscribe, () => current?.runKey ?? null);
}

/** Shows picture `n` of a run large, or goes to it if another picture is large. */
export function enlarge(runKey: string, n: number): void {
  const next = { runKey, n };
  if (!isLeaving) {
    if (current === null) push(next);
    else window.history.replaceState({ [KEY]: next }, '');
  }
  current = next;
  tell();
}

/** Closes the large picture. Does nothing if none is large, so that no other entry is left. */
export function closeEnlarged(): void {
  if (current === null) return;
  current = null;
  if (!isLeaving) window.history.back();
  isLeaving = true;
  tell();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function push(next: Enlarged): void {
  window.history.pushState({ [KEY]: next }, '');
}

function tell(): void {
  listeners.forEach((listener) => listener());
}

function read(state: unknown): Enlarged | null {
  if (typeof state !== 'object' || state === null) return null;
  const stored = (state as Record<string, unknown>)[KEY];
  if (typeof stored !== 'object' || stored === null) return null;
  const { runKey, n } = stored as Record<string, unknown>;
  return typeof runKey === 'string' && typeof n === 'number' && n >= 1 && n <= 4 ? { runKey, n } : null;
}
