/** What is said and offered beside four finished pictures. */
import type { Job } from '../api/get-job';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import type { RunActions } from './run-card';
import styles from './run-card.module.css';
import type { Run } from './runs';

// The page speaks one language, so its dates do too.
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });

export function CompleteRun({ job, run, actions }: { job: Job; run: Run; actions: RunActions }) {
  return (
    <>
      <p className={styles['meta']}>{facts(job).join(' · ')}</p>
      <div className={styles['actions']}>
        <Button isUnavailable={actions.isBusy} onClick={() => actions.press(run.prompt)}>
          {strings.run.generateMore}
        </Button>
      </div>
    </>
  );
}

function facts({ created_at, completed_at, expires_at }: Job): string[] {
  const created = new Date(created_at);
  const all = [TIME.format(created)];
  if (completed_at !== null) {
    const seconds = Math.round((new Date(completed_at).getTime() - created.getTime()) / 1000);
    all.push(strings.run.took(Math.max(1, seconds)));
  }
  if (expires_at !== null) all.push(strings.run.keptUntil(DAY.format(new Date(expires_at))));
  return all;
}
