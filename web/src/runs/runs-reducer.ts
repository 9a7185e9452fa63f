/**
 * The runs of this tab: what was asked for, newest first. How far each one is, is the server's to say (`use-runs`).
 *
 * A run exists from the press of a button on, before anything was sent. Its key is the Idempotency-Key of its request,
 * so sending it again after a refresh or a lost connection never makes a second job.
 */
import type { Problem } from '../api/problem';

/** Why the server did not accept a run. `retryAt`: when it may, in milliseconds since 1970; null if nobody knows. */
export type Refusal = Problem & { retryAt?: number | null };

export type Run = {
  key: string;
  prompt: string;
  /** Milliseconds since 1970, by this machine's clock. */
  pressedAt: number;
  /** Null until the server has accepted it. */
  jobId: string | null;
  refusal: Refusal | null;
};

export type RunAction =
  /** `replaces` is the key of a run that ended without pictures and makes room; it may be the new one's own. */
  | { type: 'press'; key: string; prompt: string; at: number; replaces?: string | undefined }
  | { type: 'accept'; key: string; jobId: string }
  | { type: 'refuse'; key: string; refusal: Refusal }
  | { type: 'remove'; key: string };

export function reduceRuns(runs: Run[], action: RunAction): Run[] {
  switch (action.type) {
    case 'press': {
      const { key, prompt, at: pressedAt, replaces } = action;
      const others = runs.filter((run) => run.key !== replaces);
      if (others.some((run) => run.key === key)) return runs;
      return [{ key, prompt, pressedAt, jobId: null, refusal: null }, ...others];
    }
    // The first answer counts: a run is accepted or refused once.
    case 'accept':
      return change(runs, action.key, (run) => (isUnanswered(run) ? { ...run, jobId: action.jobId } : run));
    case 'refuse':
      return change(runs, action.key, (run) => (isUnanswered(run) ? { ...run, refusal: action.refusal } : run));
    case 'remove':
      return runs.filter((run) => run.key !== action.key);
  }
}

export function isUnanswered(run: Run): boolean {
  return run.jobId === null && run.refusal === null;
}

/** Runs as they were remembered; anything that isn't one (an older version wrote it) is left out. */
export function parseRuns(stored: unknown): Run[] {
  return Array.isArray(stored) ? stored.filter(isRun) : [];
}

function isRun(value: unknown): value is Run {
  if (typeof value !== 'object' || value === null) return false;
  const { key, prompt, pressedAt, jobId, refusal } = value as Record<string, unknown>;
  return (
    typeof key === 'string' &&
    typeof prompt === 'string' &&
    typeof pressedAt === 'number' &&
    (jobId === null || typeof jobId === 'string') &&
    typeof refusal === 'object'
  );
}

function change(runs: Run[], key: string, to: (run: Run) => Run): Run[] {
  return runs.map((run) => (run.key === key ? to(run) : run));
}
