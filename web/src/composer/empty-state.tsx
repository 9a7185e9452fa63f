/** What the page shows before the first run: what people get, how long it takes, and prompts to start from. */
import type { Me, Style } from '../api/get-me';
import { useStylePictures } from '../api/use-style-pictures';
import { BlobImage } from '../ui/blob-image';
import { strings } from '../ui/strings';
import styles from './empty-state.module.css';

type EmptyStateProps = {
  me: Me;
  /** "drawing usually takes 35–45 s"; empty until the service has measured it. */
  usualDuration: string;
  retentionHours: number;
  /** Puts an example into the composer. It sends nothing. */
  onExample: (text: string) => void;
};

export function EmptyState({ me, usualDuration, retentionHours, onExample }: EmptyStateProps) {
  // Prompts that the current style draws well. There are none until a worker has reported the style.
  const examples = me.style?.examples ?? [];
  const readiness = me.is_ready ? strings.empty.ready : strings.empty.notReady;
  return (
    <section className={styles['empty']}>
      <StyleSquares style={me.style} onExample={onExample} />
      <div className={styles['text']}>
        <h2>{strings.empty.title}</h2>
        <p className={styles['detail']}>{strings.empty.detail(retentionHours)}</p>
        <p className={styles['outlook']} data-ready={me.is_ready}>
          {[readiness, usualDuration].filter(Boolean).join(' · ')}
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
    </section>
  );
}

/** Where the four pictures will be: until then, what the style has drawn before. A picture starts a prompt like its. */
function StyleSquares({ style, onExample }: { style: Style | null; onExample: (text: string) => void }) {
  const pictures = useStylePictures(style);
  if (pictures.length === 0) {
    return (
      <div className={styles['squares']} aria-hidden="true">
        {[1, 2, 3, 4].map((n) => (
          <div key={n} className={styles['square']} />
        ))}
      </div>
    );
  }
  return (
    <ul className={styles['squares']} aria-label={strings.empty.drawnBefore}>
      {pictures.map(({ prompt, file }, index) => (
        <li key={index} className={styles['square']}>
          <button type="button" className={styles['drawn']} title={prompt} onClick={() => onExample(prompt)}>
            <BlobImage blob={file} alt={strings.empty.drawn(prompt)} width={512} height={512} />
          </button>
        </li>
      ))}
    </ul>
  );
}
