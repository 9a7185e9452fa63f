/** The card of one run: its prompt, its state, and its four pictures or the reason why there are none. */
import { useCallback, useEffect, useEffectEvent, useId, useState, type ReactNode } from 'react';
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

const IMAGES = 4;

type RunCardProps = {
  live: LiveRun;
  actions: RunActions;
  /** A picture of this job was saved or copied. */
  onSaved: (jobId: string) => void;
  retentionHours: number;
  /** "drawing usually takes 35–45 s"; empty until the service has measured it. */
  usualDuration: string;
  /** What the model doesn't know of the prompt. Shown beside progress and pictures. */
  limits: ReactNode;
  /** Shown beside Cancel while the run is unfinished. */
  notificationOffer: ReactNode;
  /** Shown below the pictures when the run is complete. */
  question: ReactNode;
};

export function RunCard(props: RunCardProps) {
  const { live, actions, retentionHours, usualDuration, limits, notificationOffer, question } = props;
  const { run, view } = live;
  const id = useId();
  const isComplete = view.kind === 'arriving' || view.kind === 'complete';
  const hasPictures = view.kind === 'unfinished' || isComplete;
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const enlarged = useEnlarged(run.key);

  function select(n: number, isSelected: boolean): void {
    setSelected((before) => new Set(isSelected ? [...before, n] : [...before].filter((other) => other !== n)));
  }
  const { shownCount, settle } = useSettledPictures(() => actions.markShown(run.key));
  const onSaved = () => run.jobId !== null && props.onSaved(run.jobId);
  const onExpired = () => run.jobId !== null && actions.recheckJob(run.jobId);
  const enlargeHere = (n: number) => enlarge(run.key, n);
  const tileActions = { enlarge: enlargeHere, selected, select, settle, onSaved, onExpired };

  return (
    <article
      className={styles['card']}
      aria-labelledby={id}
      aria-busy={view.kind === 'unfinished' || view.kind === 'arriving'}
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
          {isComplete && (
            <div className={styles['status']}>
              <CompleteRun
                job={view.job}
                prompt={run.prompt}
                isShown={view.kind === 'complete'}
                shownCount={shownCount}
                selected={selected}
                onSaved={onSaved}
                onExpired={onExpired}
                actions={actions}
              />
            </div>
          )}
          {hasPictures && limits}
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
      {isComplete && enlarged !== null && (
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

/** Which tiles show their picture or say that they can't. `onAll` is called once all four do one of the two. */
function useSettledPictures(onAll: () => void) {
  const [pictures, setPictures] = useState<ReadonlyMap<number, boolean>>(new Map());
  const reportAll = useEffectEvent(onAll);
  const areSettled = pictures.size === IMAGES;
  useEffect(() => {
    if (areSettled) reportAll();
  }, [areSettled]);
  const settle = useCallback(
    (n: number, isShown: boolean) => setPictures((before) => new Map(before).set(n, isShown)),
    [],
  );
  return { shownCount: [...pictures.values()].filter(Boolean).length, settle };
}

/** The end of the prompt that the model did not read. Counted in Unicode code points, as the service does. */
function ignoredEnd(job: Job): string {
  const codePoints = Array.from(job.prompt);
  return codePoints
    .slice(codePoints.length - (job.prompt_ignored ?? 0))
    .join('')
    .trim();
}
