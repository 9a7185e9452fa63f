/** Timestamps as people read them. The page has one language, so dates are always in British English. */

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

/** "22 Dec", in the person's time zone. */
export function formatDay(timestamp: string): string {
  return DAY.format(new Date(timestamp));
}

/** "15:36", in the person's time zone. */
export function formatTime(timestamp: string): string {
  return TIME.format(new Date(timestamp));
}

/** Whole seconds between two timestamps, at least 1. Null while there is no end. */
export function secondsBetween(start: string, end: string | null): number | null {
  if (end === null) return null;
  return Math.max(1, Math.round((Date.parse(end) - Date.parse(start)) / 1000));
}
