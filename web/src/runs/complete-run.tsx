/** The texts and buttons beside four finished pictures, also while they are on their way to the page. */
import type { Job } from '../api/get-job';
import { durationTexts } from '../api/job-times';
import { useArrival } from '../api/use-image';
import { DownloadAllButton } from '../saving/download-all-button';
import { Button, firstClick } from '../ui/button';
import { classes } from '../ui/classes';
import { CopyText } from '../ui/copy-text';
import { formatDay, formatTime } from '../ui/dates';
import { strings } from '../ui/strings';
import type { RunActions } from './run-actions';
import styles from './run-card.module.css';

type CompleteRunProps = {
  job: Job;
  prompt: string;
  /** The page shows the pictures that it could load. Before, `shownCount` of them. */
  isShown: boolean;
  shownCount: number;
  /** The numbers (1–4) of the selected pictures. */
  selected: ReadonlySet<number>;
  onSaved: () => void;
  onExpired: () => void;
  actions: RunActions;
};

export function CompleteRun(props: CompleteRunProps) {
  const { job, prompt, isShown, shownCount, selected, onSaved, onExpired, actions } = props;
  return (
    <>
      {isShown ? (
        <p className={styles['meta']}>{facts(job).join(' · ')}</p>
      ) : (
        <Arriving job={job} shownCount={shownCount} />
      )}
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

function Arriving({ job, shownCount }: { job: Job; shownCount: number }) {
  const { bytes, size } = useArrival(job.images);
  return <p className={classes(styles['meta'], styles['arriving'])}>{strings.run.arriving(shownCount, bytes, size)}</p>;
}

function facts(job: Job): string[] {
  return [
    formatTime(job.created_at),
    ...durationTexts(job),
    ...(job.expires_at === null ? [] : [strings.run.keptUntil(formatDay(job.expires_at))]),
  ];
}
