/** How far an unfinished run is, in words, seconds and percent, and the way to stop it. */
import { useMutation } from '@tanstack/react-query';
import { useApi } from '../api/api-context';
import { cancelJob } from '../api/cancel-job';
import type { Job } from '../api/get-job';
import { Button } from '../ui/button';
import { ProgressBar } from '../ui/progress-bar';
import { strings } from '../ui/strings';
import { ColdStart, isColdStart } from './cold-start';
import { NoticeOffer } from '../feedback/notification-offer';
import type { RunActions } from './run-card';
import styles from './run-progress.module.css';
import { statusOf } from './run-view';
import { useNow } from '../ui/use-now';
import type { LiveRun } from './use-runs';

type RunProgressProps = {
  live: LiveRun;
  job: Job | null;
  actions: RunActions;
};

export function RunProgress({ live, job, actions }: RunProgressProps) {
  const { run, receivedAt, isRetrying } = live;
  const { jobId, pressedAt } = run;
  const api = useApi();
  const now = useNow();
  const cancel = useMutation({
    mutationFn: (id: string) => cancelJob(api, id),
    networkMode: 'always', // offline it fails at once, and says so
    onSuccess: actions.learn,
  });
  const isCancelling = cancel.isPending || cancel.isSuccess;
  const { stage, detail } = statusOf(job, { now, receivedAt, pressedAt, isAccepted: jobId !== null, isRetrying });
  const percent = job?.status === 'processing' ? job.progress.percent : null;
  const phase = job?.status === 'queued' ? job.progress.phase : undefined;
  return (
    <div className={styles['progress']}>
      <p className={styles['stage']}>
        {isCancelling ? strings.run.cancelling : stage}
        {percent !== null && <span className={styles['percent']}>{strings.run.percent(percent)}</span>}
      </p>
      <ProgressBar label={strings.run.progress} percent={percent} valueText={`${stage}. ${detail}`} />
      <p className={styles['detail']}>
        {[detail, besides(job, phase, actions)].filter(Boolean).join(' · ')}
      </p>
      {isColdStart(phase) && <ColdStart phase={phase} />}
      <div className={styles['actions']}>
        {jobId !== null && (
          <Button isUnavailable={isCancelling} onClick={() => cancel.mutate(jobId)}>
            {strings.run.cancel}
          </Button>
        )}
        {/* Somebody who has waited for a run before knows whether a notice would help. */}
        {actions.hasWaited && <NoticeOffer accountId={actions.accountId} />}
      </div>
      {cancel.isError && <p className={styles['problem']}>{strings.run.cancelFailed}</p>}
    </div>
  );
}

/** What somebody who waits may want to know besides the seconds. */
function besides(job: Job | null, phase: Job['progress']['phase'] | undefined, { usually }: RunActions): string {
  if (isColdStart(phase)) return strings.coldStart.saved;
  return job?.status === 'queued' ? usually : '';
}
