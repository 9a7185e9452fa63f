/** What a run looks like to the person: exactly one of these states at any time, worked out from what is known. */
import type { Job } from '../api/get-job';
import type { Problem } from '../api/problem';
import { strings } from '../ui/strings';
import type { Run } from './runs-reducer';

export type RunView =
  | { kind: 'unfinished'; job: Job | null }
  | { kind: 'complete'; job: Job }
  | { kind: 'cancelled' }
  | { kind: 'failed'; title: string; detail: string; reference: string }
  | { kind: 'expired' }
  | { kind: 'missing' };

/** Enough to find the line in the log, and to read it out on the phone. */
const REFERENCE_LENGTH = 8;

/** `problem` is the server's last answer about the job if that was a refusal (404, 410). */
export function viewOf(run: Run, job: Job | null, problem: Problem | null): RunView {
  if (run.refusal !== null) {
    return { kind: 'failed', ...run.refusal, reference: run.refusal.requestId.slice(0, REFERENCE_LENGTH) };
  }
  if (problem?.status === 410) return { kind: 'expired' };
  if (problem?.status === 404) return { kind: 'missing' };
  switch (job?.status) {
    case 'complete':
      return { kind: 'complete', job };
    case 'failed':
      return failureOf(job);
    default:
      return { kind: 'unfinished', job };
  }
}

function failureOf(job: Job): RunView {
  if (job.error?.code === 'cancelled') return { kind: 'cancelled' };
  const { unknownTitle, unknownDetail } = strings.problem;
  return {
    kind: 'failed',
    title: job.error?.title ?? unknownTitle,
    detail: job.error?.detail ?? unknownDetail,
    reference: job.id.slice(0, REFERENCE_LENGTH),
  };
}

type Situation = {
  /** Milliseconds since 1970, as the other two: now, when `job` was received, when the button was pressed. */
  now: number;
  receivedAt: number;
  pressedAt: number;
  isAccepted: boolean;
  /** Whether the server hasn't answered, and is being asked again. */
  isRetrying: boolean;
};

/** About an unfinished run: what is happening, then how far it is and how long it will take. */
export function statusOf(job: Job | null, situation: Situation): { stage: string; detail: string } {
  if (job !== null) {
    const { phase, step, steps } = job.progress;
    const place = phase === 'drawing' && steps > 0 ? [strings.run.step(step, steps)] : [];
    return { stage: stageOf(job), detail: [...place, time(job, situation)].join(' · ') };
  }
  if (situation.isAccepted) return { stage: strings.run.loading, detail: '' };
  if (situation.isRetrying) return { stage: strings.run.notSent, detail: strings.run.notSentWhy };
  return { stage: strings.run.sending, detail: '' };
}

function stageOf({ status, progress }: Job): string {
  const { run } = strings;
  switch (progress.phase) {
    case 'starting_gpu':
      return run.startingGpu;
    case 'loading_model':
      return run.loadingModel;
    case 'encoding':
      return run.encoding;
    case 'saving':
      return run.saving;
    default:
      if (status === 'processing') return run.drawing;
      return progress.queue_position === null ? run.waiting : run.inLine(progress.queue_position);
  }
}

const OVERDUE_SECONDS = 5;

function time({ progress }: Job, { now, receivedAt, pressedAt }: Situation): string {
  const soFar = Math.max(0, Math.floor((now - pressedAt) / 1000));
  if (progress.is_late) return strings.run.longer(soFar);
  if (progress.eta_seconds === null) return strings.run.soFar(soFar);
  const left = progress.eta_seconds - Math.floor((now - receivedAt) / 1000);
  if (left > 20) return strings.run.left(Math.round(left / 5) * 5);
  if (left >= 1) return strings.run.left(left);
  return left > -OVERDUE_SECONDS ? strings.run.almost : strings.run.longer(soFar);
}
