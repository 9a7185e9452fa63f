/** A run that ended without pictures: what happened, that the prompt is kept, and what the person can do next. */
import { Button, firstClick } from '../ui/button';
import { WarningIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import { useNow } from '../ui/use-now';
import type { Run } from './run';
import type { RunActions } from './run-actions';
import styles from './run-card.module.css';
import type { RunView } from './run-view';

type EndedView = Exclude<RunView, { kind: 'unfinished' | 'arriving' | 'complete' }>;
type EndedRunProps = { view: EndedView; run: Run; retentionHours: number; actions: RunActions };

export function EndedRun({ view, run, retentionHours, actions }: EndedRunProps) {
  const { canStart, start, editPrompt, remove } = actions;
  const now = useNow();
  const startLabel = view.kind === 'failed' ? strings.retry : strings.run.generateAgain;
  const waitSeconds = secondsUntil(run.refusal?.retryAt ?? null, now);
  return (
    <>
      <Explanation view={view} retentionHours={retentionHours} />
      <div className={styles['actions']}>
        <Button
          isUnavailable={!canStart(run.prompt) || waitSeconds > 0}
          onClick={firstClick(() => start(run.prompt, run))}
        >
          {waitSeconds > 0 ? strings.run.retryIn(waitSeconds) : startLabel}
        </Button>
        <Button look="quiet" onClick={() => editPrompt(run.prompt)}>
          {strings.run.editPrompt}
        </Button>
        <Button look="quiet" onClick={() => remove(run.key)}>
          {strings.run.remove}
        </Button>
      </div>
      {view.kind === 'failed' && view.reference !== '' && (
        <p className={styles['meta']}>{strings.problem.reference(view.reference)}</p>
      )}
    </>
  );
}

/** Nobody waits for longer than an hour in front of a button; the explanation says the day. */
const LONGEST_WAIT_SECONDS = 3_600;

function secondsUntil(time: number | null, now: number): number {
  const seconds = time === null ? 0 : Math.max(0, Math.ceil((time - now) / 1_000));
  return seconds > LONGEST_WAIT_SECONDS ? 0 : seconds;
}

function Explanation({ view, retentionHours }: { view: EndedView; retentionHours: number }) {
  switch (view.kind) {
    case 'cancelled':
      return <p className={styles['meta']}>{strings.run.cancelled}</p>;
    case 'expired':
      return <p className={styles['detail']}>{strings.run.expired(retentionHours)}</p>;
    case 'missing':
      return (
        <p className={styles['meta']}>
          {strings.run.missingTitle}. {strings.run.missingDetail}
        </p>
      );
    case 'failed':
      return (
        <>
          <p className={styles['failed']}>
            <WarningIcon />
            {view.title}
          </p>
          <p className={styles['detail']}>
            {view.detail} {strings.run.promptKept}
          </p>
        </>
      );
  }
}
