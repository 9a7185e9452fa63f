/** What is said and offered beside four finished pictures. */
import type { Job } from '../api/get-job';
import { Button } from '../ui/button';
import { CopyText } from '../ui/copy-text';
import { strings } from '../ui/strings';
import type { RunActions } from './run-card';
import styles from './run-card.module.css';
import { RunDownloads } from '../saving/download-all-button';
import { day, secondsTaken, time } from '../ui/dates';
import type { Run } from './runs-reducer';

type CompleteRunProps = {
  job: Job;
  run: Run;
  ticked: ReadonlySet<number>;
  onKept: () => void;
  onExpired: () => void;
  actions: RunActions;
};

export function CompleteRun({ job, run, ticked, onKept, onExpired, actions }: CompleteRunProps) {
  return (
    <>
      <p className={styles['meta']}>{facts(job).join(' · ')}</p>
      <div className={styles['actions']}>
        <Button isUnavailable={actions.isBusy} onClick={() => actions.press(run.prompt)}>
          {strings.run.generateMore}
        </Button>
        <RunDownloads job={job} ticked={ticked} onKept={onKept} onExpired={onExpired} />
      </div>
      <div className={styles['quietly']}>
        <CopyText text={run.prompt} label={strings.run.copyPrompt} />
      </div>
    </>
  );
}

function facts(job: Job): string[] {
  const seconds = secondsTaken(job);
  return [
    time(job.created_at),
    ...(seconds === null ? [] : [strings.run.took(seconds)]),
    ...(job.expires_at === null ? [] : [strings.run.keptUntil(day(job.expires_at))]),
  ];
}
