/** The texts and buttons beside four finished pictures. */
import type { Job } from '../api/get-job';
import { durationTexts } from '../api/job-times';
import { DownloadAllButton } from '../saving/download-all-button';
import { Button, firstClick } from '../ui/button';
import { CopyText } from '../ui/copy-text';
import { formatDay, formatTime } from '../ui/dates';
import { strings } from '../ui/strings';
import type { RunActions } from './run-actions';
import styles from './run-card.module.css';

type CompleteRunProps = {
  job: Job;
  prompt: string;
  /** The numbers (1–4) of the selected pictures. */
  selected: ReadonlySet<number>;
  onSaved: () => void;
  onExpired: () => void;
  actions: RunActions;
};

export function CompleteRun({ job, prompt, selected, onSaved, onExpired, actions }: CompleteRunProps) {
  return (
    <>
      <p className={styles['meta']}>{facts(job).join(' · ')}</p>
      <div className={styles['actions']}>
        <Button isUnavailable={!actions.canStart(prompt)} onClick={firstClick(() => actions.start(prompt))}>
          {strings.run.generateMore}
        </Button>
        <DownloadAllButton job={job} selected={selected} onSaved={onSaved} onExpired={onExpired} />
        <div className={styles['quietly']}>
          <CopyText text={prompt} label={strings.run.copyPrompt} />
        </div>
      </div>
    </>
  );
}

function facts(job: Job): string[] {
  return [
    formatTime(job.created_at),
    ...durationTexts(job),
    ...(job.expires_at === null ? [] : [strings.run.keptUntil(formatDay(job.expires_at))]),
  ];
}
