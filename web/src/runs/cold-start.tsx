/** What a run waits for while no worker is ready: three marks, of which one is the current. */
import type { Job } from '../api/get-job';
import { CheckIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './run-progress.module.css';

const STAGES = ['starting_gpu', 'loading_model', 'drawing'] as const;
type Phase = Job['progress']['phase'];

export function isColdStart(phase: Phase | undefined): phase is 'starting_gpu' | 'loading_model' {
  return phase === 'starting_gpu' || phase === 'loading_model';
}

export function ColdStart({ phase }: { phase: 'starting_gpu' | 'loading_model' }) {
  const current = STAGES.indexOf(phase);
  return (
    <ol className={styles['stages']}>
      {STAGES.map((stage, index) => (
        <li key={stage} aria-current={index === current ? 'step' : undefined} data-done={index < current}>
          <span className={styles['mark']}>{index < current && <CheckIcon />}</span>
          {strings.coldStart[stage]}
        </li>
      ))}
    </ol>
  );
}
