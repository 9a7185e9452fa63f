/** A run that ended without pictures to show: what happened, what is kept, what to do next. */
import { Button } from '../ui/button';
import { WarningIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import type { RunActions } from './run-card';
import styles from './run-card.module.css';
import type { RunView } from './run-view';
import type { Run } from './runs';

type EndedRunProps = {
  view: Exclude<RunView, { kind: 'unfinished' | 'complete' }>;
  run: Run;
  actions: RunActions;
};

export function EndedRun({ view, run, actions }: EndedRunProps) {
  const { isBusy, press, editPrompt, remove } = actions;
  const again = view.kind === 'failed' ? strings.retry : strings.run.generateAgain;
  return (
    <>
      <Explanation view={view} retentionDays={actions.retentionDays} />
      <div className={styles['actions']}>
        <Button isUnavailable={isBusy} onClick={() => press(run.prompt, run)}>
          {again}
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

function Explanation({ view, retentionDays }: { view: EndedRunProps['view']; retentionDays: number }) {
  switch (view.kind) {
    case 'cancelled':
      return <p className={styles['meta']}>{strings.run.cancelled}</p>;
    case 'expired':
      return <p className={styles['meta']}>{strings.run.expired(retentionDays)}</p>;
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
