/** How long a job waited and how long its drawing took: apart, because only drawing compares with what is usual. */
import { strings } from '../ui/strings';
import type { Job } from './get-job';

/** A worker takes the next job within this time, so a shorter wait is not worth a word. */
const WORTH_TELLING_MS = 3_000;

/** Milliseconds in line, and with attempts that failed, until the latest attempt began. 0 before the first. */
export function waitedMs({ created_at, started_at }: Job): number {
  return Math.max(0, Date.parse(started_at ?? created_at) - Date.parse(created_at));
}

/** "took 18 s", and "waited 36 s" if that is worth telling. Empty while there are no pictures. */
export function durationTexts(job: Job): string[] {
  if (job.completed_at === null) return [];
  const took = Date.parse(job.completed_at) - Date.parse(job.started_at ?? job.created_at);
  const waited = waitedMs(job);
  return [strings.run.took(took), ...(waited < WORTH_TELLING_MS ? [] : [strings.run.waited(waited)])];
}
