/** A run that ended without pictures to show: what happened, what is kept, what to do next. */
import { Button } from '../ui/button';
import { WarningIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import type { RunActions } from './run-card';
import styles from './run-card.module.css';
import type { RunView } from './run-view';
import type { Run } from './runs-reducer';
import { useNow } from '../ui/use-now';

type EndedRunProps = {
  view: Exclude<RunView, { kind: 'unfinished' | 'complete' }>;
  run: Run;
  actions: RunActions;
};

export function EndedRun({ view, run, actions }: EndedRunProps) {
  const { isBusy, press, editPrompt, remove } = actions;
  const now = useNow();
  const again = view.kind === 'failed' ? strings.retry : strings.run.generateAgain;
  const wait = secondsUntil(run.refusal?.retryAt ?? null, now);
  return (
    <>
      <Explanation view={view} retentionHours={actions.retentionHours} />
      <div className={styles['actions']}>
        <Button isUnavailable={isBusy || wait > 0} onClick={() => press(run.prompt, run)}>
          {wait > 0 ? strings.run.retryIn(wait) : again}
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

function secondsUntil(at: number | null, now: number): number {
  return at === null ? 0 : Math.max(0, Math.ceil((at - now) / 1_000));
}

function Explanation({ view, retentionHours }: { view: EndedRunProps['view']; retentionHours: number }) {
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
