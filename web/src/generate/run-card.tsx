/** One run: what was asked for, where it stands, and its four pictures or what became of them. */
import { useId } from 'react';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import { CompleteRun } from './complete-run';
import { EndedRun } from './ended-run';
import { PictureGrid } from './picture-grid';
import styles from './run-card.module.css';
import { RunProgress } from './run-progress';
import type { LiveRun, Runs } from './use-runs';

export type RunActions = Pick<Runs, 'press' | 'remove' | 'learn' | 'recheck' | 'isBusy'> & {
  editPrompt: (prompt: string) => void;
  retentionDays: number;
};

export function RunCard({ live, actions }: { live: LiveRun; actions: RunActions }) {
  const { run, view } = live;
  const id = useId();
  const hasPictures = view.kind === 'unfinished' || view.kind === 'complete';
  const isCut = hasPictures && view.job?.prompt_truncated === true;
  return (
    <article
      className={styles['card']}
      aria-labelledby={id}
      aria-busy={view.kind === 'unfinished'}
      data-state={view.kind}
    >
      <div className={classes(styles['about'], !hasPictures && styles['ended'])}>
        <h2 id={id} className={styles['prompt']} dir="auto" title={run.prompt}>
          {run.prompt}
        </h2>
        {view.kind === 'unfinished' && <RunProgress live={live} job={view.job} onCancelled={actions.learn} />}
        {view.kind === 'complete' && <CompleteRun job={view.job} run={run} actions={actions} />}
        {!hasPictures && <EndedRun view={view} run={run} actions={actions} />}
        {isCut && <p className={styles['note']}>{strings.run.truncated}</p>}
      </div>
      {hasPictures && (
        <PictureGrid
          addresses={view.kind === 'complete' ? view.job.images : []}
          prompt={run.prompt}
          isDrawing={view.job?.status === 'processing'}
          onExpired={() => run.jobId !== null && actions.recheck(run.jobId)}
        />
      )}
    </article>
  );
}
