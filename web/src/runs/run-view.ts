/** What a run looks like to the person. A run is in exactly one of these states at any time. */
import type { Job } from '../api/get-job';
import type { Problem } from '../api/problem';
import { strings } from '../ui/strings';
import type { Run } from './run';

export type RunView =
  | { kind: 'unfinished'; job: Job | null }
  /** The job is complete, and its pictures are on their way to this page. */
  | { kind: 'arriving'; job: Job }
  | { kind: 'complete'; job: Job }
  | { kind: 'cancelled' }
  | { kind: 'failed'; title: string; detail: string; reference: string }
  | { kind: 'expired' }
  | { kind: 'missing' };

/** A run together with what the page knows from the API. */
export type LiveRun = {
  run: Run;
  view: RunView;
  /** When the job's state arrived, in milliseconds since 1970; 0 before. */
  receivedAt: number;
  /** The API hasn't answered this request yet, or the one before it, and the page sends it again. */
  isRetrying: boolean;
};

/** Long enough to find the line in the log, and short enough to read out on the phone. */
const REFERENCE_LENGTH = 8;

/**
 * `problem` is the API's last answer about the job, if that was an error (404, 410). `isShown`: the page shows the
 * job's pictures.
 */
export function viewOf(run: Run, job: Job | null, problem: Problem | null, isShown: boolean): RunView {
  if (run.refusal !== null) {
    return { kind: 'failed', ...run.refusal, reference: run.refusal.requestId.slice(0, REFERENCE_LENGTH) };
  }
  if (run.isTakenBack) return { kind: 'cancelled' };
  if (problem?.status === 410) return { kind: 'expired' };
  if (problem?.status === 404) return { kind: 'missing' };
  switch (job?.status) {
    case 'complete':
      return { kind: isShown ? 'complete' : 'arriving', job };
    case 'failed':
      return failedView(job);
    default:
      return { kind: 'unfinished', job };
  }
}

function failedView(job: Job): RunView {
  if (job.error?.code === 'cancelled') return { kind: 'cancelled' };
  const { unknownTitle, unknownDetail } = strings.problem;
  return {
    kind: 'failed',
    title: job.error?.title ?? unknownTitle,
    detail: job.error?.detail ?? unknownDetail,
    reference: job.id.slice(0, REFERENCE_LENGTH),
  };
}
