/** How what the server says about a job replaces what was known, whatever order the news arrives in. */
import type { Job } from '../api/get-job';

export function isFinal(job: Job): boolean {
  return job.status === 'complete' || job.status === 'failed';
}

/**
 * The newer of two views of one job. An end is final, and percent never falls while the job is being drawn: a reply
 * that was overtaken must not pull the bar back. Being `queued` again is a new attempt, which starts at nothing.
 */
export function advance(known: Job | undefined, news: Job): Job {
  if (known === undefined) return news;
  if (known.id !== news.id || isFinal(known)) return known;
  if (known.status !== 'processing' || news.status !== 'processing') return news;
  const percent = Math.max(known.progress.percent, news.progress.percent);
  return percent === news.progress.percent ? news : { ...news, progress: { ...news.progress, percent } };
}
