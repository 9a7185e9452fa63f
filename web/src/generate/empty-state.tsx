/** Before the first run: what will appear, how long it takes, and prompts that fill the field and don't send. */
import type { Me } from '../api/get-me';
import { strings } from '../ui/strings';
import styles from './empty-state.module.css';

type EmptyStateProps = { me: Me; retentionDays: number; onExample: (text: string) => void };

export function EmptyState({ me, retentionDays, onExample }: EmptyStateProps) {
  // What the style that is live is known to draw well; nothing while no worker has said so.
  const examples = me.style?.examples ?? [];
  return (
    <section className={styles['empty']}>
      <div>
        <h2>{strings.empty.title}</h2>
        <p className={styles['detail']}>{strings.empty.detail(retentionDays)}</p>
        <p className={styles['outlook']} data-ready={me.is_ready}>
          {outlookOf(me)}
        </p>
        {examples.length > 0 && <p className={styles['heading']}>{strings.composer.examples}</p>}
        <ul className={styles['examples']}>
          {examples.map((example) => (
            <li key={example}>
              <button type="button" className={styles['example']} onClick={() => onExample(example)}>
                {example}
              </button>
            </li>
          ))}
        </ul>
      </div>
      <div className={styles['squares']} aria-hidden="true">
        {[1, 2, 3, 4].map((n) => (
          <div key={n} className={styles['square']} />
        ))}
      </div>
    </section>
  );
}

function outlookOf({ is_ready, usual_seconds }: Me): string {
  const { ready, notReady, usually } = strings.empty;
  const state = is_ready ? ready : notReady;
  return usual_seconds === null ? state : `${state} · ${usually(usual_seconds.typical, usual_seconds.slow)}`;
}
