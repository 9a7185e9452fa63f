/** How far an unfinished run is, in words, seconds and percent, and the way to stop it. */
import { useMutation } from '@tanstack/react-query';
import { useApi } from '../api/api-context';
import { cancelJob } from '../api/cancel-job';
import type { Job } from '../api/get-job';
import { Button } from '../ui/button';
import { ProgressBar } from '../ui/progress-bar';
import { strings } from '../ui/strings';
import styles from './run-progress.module.css';
import { statusLine } from './run-view';
import { useNow } from './use-now';
import type { LiveRun } from './use-runs';

type RunProgressProps = { live: LiveRun; job: Job | null; onCancelled: (job: Job) => void };

export function RunProgress({ live, job, onCancelled }: RunProgressProps) {
  const { run, receivedAt, isRetrying } = live;
  const api = useApi();
  const now = useNow();
  const cancel = useMutation({ mutationFn: (id: string) => cancelJob(api, id), onSuccess: onCancelled });
  const isCancelling = cancel.isPending || cancel.isSuccess;
  const isAccepted = run.jobId !== null;
  const status = statusLine(job, { now, receivedAt, pressedAt: run.pressedAt, isAccepted, isRetrying });
  const percent = job?.status === 'processing' ? job.progress.percent : null;
  return (
    <div className={styles['progress']}>
      <p className={styles['status']}>{isCancelling ? strings.run.cancelling : status}</p>
      <ProgressBar label={strings.run.progress} percent={percent} valueText={status} />
      <div className={styles['row']}>
        <span className={styles['percent']}>{percent === null ? '' : strings.run.percent(percent)}</span>
        {run.jobId !== null && (
          <Button isUnavailable={isCancelling} onClick={() => run.jobId !== null && cancel.mutate(run.jobId)}>
            {strings.run.cancel}
          </Button>
        )}
      </div>
      {cancel.isError && <p className={styles['problem']}>{strings.run.cancelFailed}</p>}
    </div>
  );
}
