/**
 * Stops the page from going round in circles between itself and the sign-in.
 *
 * Only redirects that nobody asked for count: pressing a button is always allowed.
 */
import { recall, remember } from '../tab-storage';

const KEY = 'redirects';
const WINDOW_MS = 60_000;
const MAX_IN_WINDOW = 3;

/** Notes one more redirect; false if there were too many lately and it must not happen. */
export function mayRedirect(now = Date.now()): boolean {
  const stored = recall(KEY);
  const times = Array.isArray(stored) ? stored.filter((time): time is number => typeof time === 'number') : [];
  const recent = times.filter((time) => now - time < WINDOW_MS);
  if (recent.length >= MAX_IN_WINDOW) return false;
  remember(KEY, [...recent, now]);
  return true;
}
