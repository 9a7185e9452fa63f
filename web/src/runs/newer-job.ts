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
  if (known.id !== news.id || isFinal(known) || news.attempt < known.attempt) return known;
  if (news.attempt > known.attempt) return news;
  if (known.status !== 'processing' || (news.status !== 'processing' && news.status !== 'complete')) return news;
  const newest = news.progress.percent >= known.progress.percent ? news : known;
  const previews = newest.progress.previews.length > 0 ? newest.progress.previews : known.progress.previews;
  return { ...news, progress: { ...news.progress, percent: newest.progress.percent, previews } };
}
