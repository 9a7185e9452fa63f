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
