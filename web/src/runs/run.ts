/**
 * A run is the page's own record of one press of "Generate". The API doesn't know runs.
 *
 * A run exists from the press on, before any request is sent. When the API accepts the request, the run gets the id of
 * its job; progress and pictures belong to the job. To people the page calls a run a "generation".
 */
import type { Problem } from '../api/problem';

/** Why the API refused a run. `retryAt` is the earliest time for another try, in milliseconds since 1970. */
export type Refusal = Problem & { retryAt?: number | null };

export type Run = {
  /** The Idempotency-Key of the request. Thanks to it, a repeated request never makes a second job. */
  key: string;
  prompt: string;
  /** Milliseconds since 1970, by this machine's clock. */
  pressedAt: number;
  /** Null until the API has accepted the run. */
  jobId: string | null;
  /** Null unless the API has refused the run. */
  refusal: Refusal | null;
  /** The person took the run back before the API had accepted it. */
  isTakenBack?: boolean;
};

/** Whether the run is still to be sent: the API has neither accepted nor refused it, and nobody took it back. */
export function isUnanswered(run: Run): boolean {
  return run.jobId === null && run.refusal === null && run.isTakenBack !== true;
}

/** The runs in a stored value. Leaves out what isn't a run, because an older version may have stored it. */
export function parseRuns(stored: unknown): Run[] {
  return Array.isArray(stored) ? stored.filter(isRun) : [];
}

function isRun(value: unknown): value is Run {
  if (typeof value !== 'object' || value === null) return false;
  const { key, prompt, pressedAt, jobId, refusal, isTakenBack } = value as Record<string, unknown>;
  return (
    typeof key === 'string' &&
    typeof prompt === 'string' &&
    typeof pressedAt === 'number' &&
    (jobId === null || typeof jobId === 'string') &&
    typeof refusal === 'object' &&
    (isTakenBack === undefined || typeof isTakenBack === 'boolean')
  );
}
