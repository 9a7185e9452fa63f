/** Before the first run: what will appear, and three prompts to begin with. They fill the field; they don't send. */
import { strings } from '../ui/strings';
import styles from './empty-state.module.css';

// Things the bundled miniature model draws well.
const EXAMPLES = [
  'A red backpack',
  'A cup of coffee on a wooden table',
  'A blue alarm clock',
];

export function EmptyState({ retentionDays, onExample }: { retentionDays: number; onExample: (text: string) => void }) {
  return (
    <section className={styles['empty']}>
      <div>
        <h2>{strings.empty.title}</h2>
        <p className={styles['detail']}>{strings.empty.detail(retentionDays)}</p>
        <p className={styles['heading']}>{strings.composer.examples}</p>
        <ul className={styles['examples']}>
          {EXAMPLES.map((example) => (
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
