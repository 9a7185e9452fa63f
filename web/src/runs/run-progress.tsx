/** How far an unfinished run is, in words, seconds and percent, and the button that cancels it. */
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useApi, useIsReachable } from '../api/api-context';
import { cancelJob } from '../api/cancel-job';
import type { Job } from '../api/get-job';
import { useIsOnline } from '../api/use-is-online';
import { Button } from '../ui/button';
import { ProgressBar } from '../ui/progress-bar';
import { strings } from '../ui/strings';
import { useNow } from '../ui/use-now';
import { ColdStart, isColdStart } from './cold-start';
import { progressText } from './progress-text';
import type { RunActions } from './run-actions';
import styles from './run-progress.module.css';
import type { LiveRun } from './run-view';

type RunProgressProps = {
  live: LiveRun;
  /** Null until the API has reported the job. */
  job: Job | null;
  /** "drawing usually takes 35–45 s"; empty until the service has measured it. */
  usualDuration: string;
  actions: RunActions;
  /** Stands beside Cancel. */
  children: ReactNode;
};

export function RunProgress({ live, job, usualDuration, actions, children }: RunProgressProps) {
  const { run, receivedAt, isRetrying } = live;
  const { jobId, pressedAt } = run;
  const api = useApi();
  const now = useNow();
  const cancel = useMutation({
    mutationFn: (id: string) => cancelJob(api, id),
    networkMode: 'always', // offline it fails at once, and the page says so
    onSuccess: actions.updateJob,
  });
  const isCancelling = cancel.isPending || cancel.isSuccess;
  const [isReachable, isOnline] = [useIsReachable(), useIsOnline()];
  const isConnected = isReachable && isOnline;
  const circumstances = { now, receivedAt, pressedAt, isAccepted: jobId !== null, isRetrying, isConnected };
  const { stage, detail } = progressText(job, circumstances);
  const percent = job?.status === 'processing' ? job.progress.percent : null;
  const phase = job?.status === 'queued' ? job.progress.phase : undefined;
  const usual = job?.status === 'queued' && isConnected ? usualDuration : '';
  const addition = isColdStart(phase) ? strings.coldStart.saved : usual;
  return (
    <div className={styles['progress']}>
      <p className={styles['stage']}>
        {isCancelling ? strings.run.cancelling : stage}
        {percent !== null && <span className={styles['percent']}>{strings.run.percent(percent)}</span>}
      </p>
      <ProgressBar label={strings.run.progress} percent={percent} valueText={`${stage}. ${detail}`} />
      <p className={styles['detail']}>{[detail, addition].filter(Boolean).join(' · ')}</p>
      {isColdStart(phase) && <ColdStart phase={phase} />}
      <div className={styles['actions']}>
        <Button
          isUnavailable={isCancelling}
          onClick={() => (jobId === null ? actions.takeBack(run) : cancel.mutate(jobId))}
        >
          {strings.run.cancel}
        </Button>
        {children}
      </div>
      {cancel.isError && <p className={styles['problem']}>{strings.run.cancelFailed}</p>}
    </div>
  );
}
