/** Decides which of two states of a job is newer, because answers may arrive in any order. */
import type { Job } from '../api/get-job';

export function isFinal(job: Job): boolean {
  return job.status === 'complete' || job.status === 'failed';
}

/**
 * The state to show after `known`, when `received` arrives.
 *
 * A final state stays. While a job is drawn, its percent never falls, whatever late answers arrive.
 * A job that is queued again has a new attempt, which starts at 0 %.
 */
export function newerJob(known: Job | undefined, received: Job): Job {
  if (known === undefined) return received;
  if (known.id !== received.id || isFinal(known) || received.attempt < known.attempt) return known;
  if (received.attempt > known.attempt) return received;
  const isDrawnOrComplete = received.status === 'processing' || received.status === 'complete';
  if (known.status !== 'processing' || !isDrawnOrComplete) return received;
  const newest = received.progress.percent >= known.progress.percent ? received : known;
  const previews = newest.progress.previews.length > 0 ? newest.progress.previews : known.progress.previews;
  return { ...received, progress: { ...received.progress, percent: newest.progress.percent, previews } };
}
