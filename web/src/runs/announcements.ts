/**
 * What the live region says when a run changes: queued, drawing started, each quarter, and the end. It doesn't say
 * every step.
 */
import type { Job } from '../api/get-job';
import { strings } from '../ui/strings';
import type { RunView } from './run-view';

export function announcement(before: RunView | undefined, after: RunView): string | null {
  // Nothing has changed if the run had ended before, or if the page sees it for the first time.
  if (before?.kind !== 'unfinished') return null;
  switch (after.kind) {
    case 'complete':
      return strings.announce.done;
    case 'failed':
      return strings.announce.failed(after.title);
    case 'cancelled':
      return strings.run.cancelled;
    case 'unfinished':
      return after.job && progressAnnouncement(before.job, after.job);
    default:
      return null;
  }
}

function progressAnnouncement(before: Job | null, after: Job): string | null {
  if (after.status === 'queued') {
    if (before?.status === 'queued') return null;
    const place = after.progress.queue_position;
    return place === null ? strings.announce.queued : `${strings.announce.queued}. ${strings.run.inLine(place)}`;
  }
  if (before?.status !== 'processing') return strings.announce.started;
  const quarter = Math.floor(after.progress.percent / 25) * 25;
  return quarter > 0 && before.progress.percent < quarter ? strings.announce.percent(quarter) : null;
}
