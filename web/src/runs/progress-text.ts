/** The two texts about an unfinished run: what is happening now, and how far it is or how long it will take. */
import type { Job } from '../api/get-job';
import { waitedMs } from '../api/job-times';
import { formatTime } from '../ui/dates';
import { strings } from '../ui/strings';

type Circumstances = {
  /** Milliseconds since 1970: the current time, when `job` arrived, and when the button was pressed. */
  now: number;
  receivedAt: number;
  pressedAt: number;
  /** The API has accepted the run. */
  isAccepted: boolean;
  /** The API hasn't answered the request yet, and the page sends it again. */
  isRetrying: boolean;
  /** The service answers. Otherwise nobody knows how the job goes on, and the page shows no seconds. */
  isConnected: boolean;
};

/** After this many seconds past the estimate, the page says "longer than usual". */
const OVERDUE_SECONDS = 5;

export function progressText(job: Job | null, circumstances: Circumstances): { stage: string; detail: string } {
  const { run } = strings;
  if (job !== null) {
    const { phase, step, steps } = job.progress;
    const stepText = phase === 'drawing' && steps > 0 ? [run.step(step, steps)] : [];
    return { stage: stageText(job), detail: [...stepText, timeText(job, circumstances)].join(' · ') };
  }
  if (circumstances.isAccepted) return { stage: run.loading, detail: '' };
  if (circumstances.isRetrying) return { stage: run.notSent, detail: run.notSentWhy };
  return { stage: run.sending, detail: '' };
}

function stageText({ status, progress }: Job): string {
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

function timeText(job: Job, { now, receivedAt, pressedAt, isConnected }: Circumstances): string {
  const { run } = strings;
  const { progress } = job;
  if (!isConnected) return run.lastKnown(formatTime(new Date(receivedAt).toISOString()));
  // Of the drawing, if it has begun: only that compares with what is usual. The two clocks may differ, so the service's
  // two times are subtracted from each other, and so are this machine's.
  const waited = job.status === 'processing' ? waitedMs(job) : 0;
  const elapsed = Math.max(0, Math.floor((now - pressedAt - waited) / 1000));
  if (progress.is_late) return run.longer(elapsed);
  if (progress.eta_seconds === null) return run.soFar(elapsed);
  const left = progress.eta_seconds - Math.floor((now - receivedAt) / 1000);
  if (left > 20) return run.left(Math.round(left / 5) * 5);
  if (left >= 1) return run.left(left);
  return left > -OVERDUE_SECONDS ? run.almost : run.longer(elapsed);
}
