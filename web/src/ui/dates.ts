/** A job's times, as people read them. The page speaks one language, so its dates do too. */
import type { Job } from '../api/get-job';

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

/** "22 Dec", on this person's calendar. */
export function day(timestamp: string): string {
  return DAY.format(new Date(timestamp));
}

/** "15:36", on this person's clock. */
export function time(timestamp: string): string {
  return TIME.format(new Date(timestamp));
}

/** Whole seconds from the press to the pictures, waiting included; null while there are none. */
export function secondsTaken({ created_at, completed_at }: Job): number | null {
  if (completed_at === null) return null;
  return Math.max(1, Math.round((Date.parse(completed_at) - Date.parse(created_at)) / 1000));
}
