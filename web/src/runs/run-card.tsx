/** The card of one run: its prompt, its state, and its four pictures or the reason why there are none. */
import { useId, useState, type ReactNode } from 'react';
import type { Job } from '../api/get-job';
import { closeEnlarged, enlarge, useEnlarged } from '../lightbox/enlarged';
import { Lightbox } from '../lightbox/lightbox';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import { CompleteRun } from './complete-run';
import { EndedRun } from './ended-run';
import { PictureGrid } from './picture-grid';
import type { RunActions } from './run-actions';
import styles from './run-card.module.css';
import { RunProgress } from './run-progress';
import type { LiveRun } from './run-view';

type RunCardProps = {
  live: LiveRun;
  actions: RunActions;
  /** A picture of this job was saved or copied. */
  onSaved: (jobId: string) => void;
  retentionHours: number;
  /** "drawing usually takes 35–45 s"; empty until the service has measured it. */
  usualDuration: string;
  /** Shown beside Cancel while the run is unfinished. */
  notificationOffer: ReactNode;
  /** Shown below the pictures when the run is complete. */
  question: ReactNode;
};

export function RunCard(props: RunCardProps) {
  const { live, actions, retentionHours, usualDuration, notificationOffer, question } = props;
  const { run, view } = live;
  const id = useId();
  const hasPictures = view.kind === 'unfinished' || view.kind === 'complete';
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const enlarged = useEnlarged(run.key);

  function select(n: number, isSelected: boolean): void {
    setSelected((before) => new Set(isSelected ? [...before, n] : [...before].filter((other) => other !== n)));
  }
  const onSaved = () => run.jobId !== null && props.onSaved(run.jobId);
  const onExpired = () => run.jobId !== null && actions.recheckJob(run.jobId);
  const enlargeHere = (n: number) => enlarge(run.key, n);
  const tileActions = { enlarge: enlargeHere, selected, select, onSaved, onExpired };

  return (
    <article
      className={styles['card']}
      aria-labelledby={id}
      aria-busy={view.kind === 'unfinished'}
      data-state={view.kind}
    >
      <div className={classes(styles['side'], !hasPictures && styles['ended'])}>
        <div className={styles['about']}>
          <h2 id={id} tabIndex={-1} className={styles['prompt']} dir="auto" title={run.prompt}>
            {run.prompt}
          </h2>
          {view.kind === 'unfinished' && (
            <div className={styles['status']}>
              <RunProgress live={live} job={view.job} usualDuration={usualDuration} actions={actions}>
                {notificationOffer}
              </RunProgress>
            </div>
          )}
          {view.kind === 'complete' && (
            <div className={styles['status']}>
              <CompleteRun
                job={view.job}
                prompt={run.prompt}
                selected={selected}
                onSaved={onSaved}
                onExpired={onExpired}
                actions={actions}
              />
            </div>
          )}
          {!hasPictures && <EndedRun view={view} run={run} retentionHours={retentionHours} actions={actions} />}
          {hasPictures && view.job?.prompt_truncated === true && (
            <p className={styles['note']}>{strings.run.truncated(ignoredEnd(view.job))}</p>
          )}
        </div>
        {view.kind === 'complete' && question !== null && <div className={styles['question']}>{question}</div>}
      </div>
      {hasPictures && (
        <div className={styles['pictures']}>
          <PictureGrid job={view.job} prompt={run.prompt} actions={tileActions} />
        </div>
      )}
      {view.kind === 'complete' && enlarged !== null && (
        <Lightbox
          job={view.job}
          n={enlarged}
          onShow={enlargeHere}
          onClose={closeEnlarged}
          onSaved={onSaved}
          onExpired={onExpired}
        />
      )}
    </article>
  );
}

/** The end of the prompt that the model did not read. Counted in Unicode code points, as the service does. */
function ignoredEnd(job: Job): string {
  const codePoints = Array.from(job.prompt);
  return codePoints
    .slice(codePoints.length - (job.prompt_ignored ?? 0))
    .join('')
    .trim();
}
