/**
 * Stops an endless loop of redirects between the page and the sign-in.
 *
 * Only automatic redirects count. A person who presses a button may always be redirected.
 */
import { loadFromTab, saveToTab } from '../tab-storage';

const KEY = 'redirects';
const WINDOW_MS = 60_000;
const MAX_IN_WINDOW = 3;

/** Counts one more redirect. Returns false if there were too many within a minute, and it must not happen. */
export function mayRedirect(now = Date.now()): boolean {
  const stored = loadFromTab(KEY);
  const times = Array.isArray(stored) ? stored.filter((time): time is number => typeof time === 'number') : [];
  const recent = times.filter((time) => now - time < WINDOW_MS);
  if (recent.length >= MAX_IN_WINDOW) return false;
  saveToTab(KEY, [...recent, now]);
  return true;
}
