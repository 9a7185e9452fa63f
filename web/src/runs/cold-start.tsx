/** The three stages of a run that starts while no worker is ready. One of them is the current stage. */
import type { Job } from '../api/get-job';
import { CheckIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './run-progress.module.css';

const STAGES = ['starting_gpu', 'loading_model', 'drawing'] as const;
type Phase = Job['progress']['phase'];
type ColdPhase = 'starting_gpu' | 'loading_model';

export function isColdStart(phase: Phase | undefined): phase is ColdPhase {
  return phase === 'starting_gpu' || phase === 'loading_model';
}

export function ColdStart({ phase }: { phase: ColdPhase }) {
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
