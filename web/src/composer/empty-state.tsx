/** Before the first run: what will appear, how long it takes, and prompts that fill the field and don't send. */
import type { Me } from '../api/get-me';
import { strings } from '../ui/strings';
import styles from './empty-state.module.css';

type EmptyStateProps = { me: Me; retentionHours: number; onExample: (text: string) => void };

export function EmptyState({ me, retentionHours, onExample }: EmptyStateProps) {
  // What the style that is live is known to draw well; nothing while no worker has said so.
  const examples = me.style?.examples ?? [];
  return (
    <section className={styles['empty']}>
      <div>
        <h2>{strings.empty.title}</h2>
        <p className={styles['detail']}>{strings.empty.detail(retentionHours)}</p>
        <p className={styles['outlook']} data-ready={me.is_ready}>
          {outlookOf(me)}
        </p>
        {examples.length > 0 && <p className={styles['heading']}>{strings.composer.examples}</p>}
        {examples.length > 0 && (
          <ul className={styles['examples']}>
            {examples.map((example) => (
              <li key={example}>
                <button type="button" className={styles['example']} onClick={() => onExample(example)}>
                  {example}
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div className={styles['squares']} aria-hidden="true">
        {[1, 2, 3, 4].map((n) => (
          <div key={n} className={styles['square']} />
        ))}
      </div>
    </section>
  );
}

function outlookOf(me: Me): string {
  return [me.is_ready ? strings.empty.ready : strings.empty.notReady, usually(me)].filter(Boolean).join(' · ');
}

/** "usually 35–45 s", from measured runs; empty while there are none. */
export function usually({ usual_seconds }: Me): string {
  return usual_seconds === null ? '' : strings.empty.usually(usual_seconds.typical, usual_seconds.slow);
}
