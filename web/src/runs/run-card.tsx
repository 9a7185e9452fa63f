/** One run: what was asked for, where it stands, and its four pictures or what became of them. */
import { useId, useState } from 'react';
import type { Job } from '../api/get-job';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import { CompleteRun } from './complete-run';
import { EndedRun } from './ended-run';
import { Lightbox } from '../lightbox/lightbox';
import { PictureGrid } from './picture-grid';
import styles from './run-card.module.css';
import { RunProgress } from './run-progress';
import { Usefulness } from '../feedback/usefulness-question';
import type { Question } from '../feedback/use-usefulness-question';
import type { LiveRun, Runs } from './use-runs';

export type RunActions = Pick<Runs, 'press' | 'remove' | 'learn' | 'recheck' | 'isBusy'> & {
  editPrompt: (prompt: string) => void;
  question: Question;
  retentionHours: number;
  /** Whose notices they are. */
  accountId: string;
  /** "usually 35–45 s"; empty while nothing was measured. */
  usually: string;
  /** Whether a run has ended before in this tab. */
  hasWaited: boolean;
};

type RunCardProps = { live: LiveRun; actions: RunActions };

export function RunCard({ live, actions }: RunCardProps) {
  const { run, view } = live;
  const id = useId();
  const hasPictures = view.kind === 'unfinished' || view.kind === 'complete';
  const [ticked, setTicked] = useState<ReadonlySet<number>>(new Set());
  const [opened, setOpened] = useState<number | null>(null);
  const { question } = actions;

  function tick(n: number, isTicked: boolean): void {
    setTicked((before) => new Set(isTicked ? [...before, n] : [...before].filter((other) => other !== n)));
  }
  const onKept = () => run.jobId !== null && question.onKept(run.jobId);
  const onExpired = () => run.jobId !== null && actions.recheck(run.jobId);
  const tiles = { open: setOpened, ticked, tick, onKept, onExpired };

  return (
    <article
      className={styles['card']}
      aria-labelledby={id}
      aria-busy={view.kind === 'unfinished'}
      data-state={view.kind}
    >
      <div className={classes(styles['about'], !hasPictures && styles['ended'])}>
        <h2 id={id} tabIndex={-1} className={styles['prompt']} dir="auto" title={run.prompt}>
          {run.prompt}
        </h2>
        {view.kind === 'unfinished' && (
          <div className={styles['status']}>
            <RunProgress live={live} job={view.job} actions={actions} />
          </div>
        )}
        {view.kind === 'complete' && (
          <div className={styles['status']}>
            <CompleteRun
              job={view.job}
              run={run}
              ticked={ticked}
              onKept={onKept}
              onExpired={onExpired}
              actions={actions}
            />
          </div>
        )}
        {!hasPictures && <EndedRun view={view} run={run} actions={actions} />}
        {hasPictures && view.job?.prompt_truncated === true && (
          <p className={styles['note']}>{strings.run.truncated(unread(view.job))}</p>
        )}
      </div>
      {hasPictures && (
        <div className={styles['pictures']}>
          <PictureGrid job={view.job} prompt={run.prompt} actions={tiles} />
        </div>
      )}
      {run.jobId !== null && run.jobId === question.jobId && view.kind === 'complete' && (
        <div>
          <Usefulness jobId={run.jobId} onAnswered={question.onAnswered} onClose={question.close} />
        </div>
      )}
      {view.kind === 'complete' && opened !== null && (
        <Lightbox job={view.job} start={opened} onClose={() => setOpened(null)} onKept={onKept} onExpired={onExpired} />
      )}
    </article>
  );
}

/** The end of the prompt that the model could not read; counted in code points, as the service does. */
function unread(job: Job): string {
  const points = Array.from(job.prompt);
  return points
    .slice(points.length - (job.prompt_ignored ?? 0))
    .join('')
    .trim();
}
