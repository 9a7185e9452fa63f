/** After the verdict: what was decided and why, what to change, and what was on each card. */
import { useEffect, useRef } from 'react';
import type { Review, Verdict } from '../api/get-review';
import { CopyText } from '../ui/copy-text';
import { formatDay } from '../ui/dates';
import { Interval } from './interval';
import { RevealedCards } from './revealed-cards';
import styles from './review.module.css';
import { reviewStrings } from './review-strings';

type RevealProps = { review: Review; verdict: Verdict };

export function Reveal({ review, verdict }: RevealProps) {
  const text = reviewStrings.reveal;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = reviewStrings.documentTitle;
    heading.current?.focus();
  }, []);
  const command = `onbrand pack promote ${review.pack_id.slice(0, 12)}`;
  return (
    <div className={styles['wide']}>
      <div className={styles['head']}>
        <p className={styles['quiet']}>{reviewStrings.title(review.pack_name, review.pack_version)}</p>
        <h1 ref={heading} tabIndex={-1} className={styles['outcome']} data-outcome={verdict.outcome}>
          {text.outcome[verdict.outcome]}
        </h1>
        <p className={styles['quiet']}>{text.by(verdict.reviewer, formatDay(verdict.given_at))}</p>
      </div>
      {verdict.outcome === 'undecided' && <p>{text.undecided}</p>}
      {verdict.took_back && <p className={styles['notice']}>{text.tookBack}</p>}
      <div className={styles['findings']}>
        <section className={styles['panel']}>
          <h2>{text.why}</h2>
          <Interval usable={verdict.usable} samples={review.samples} interval={verdict.interval} />
          <ul className={styles['rule']}>
            {verdict.why.map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ul>
        </section>
        <section className={styles['panel']}>
          <h2>{text.changes}</h2>
          {verdict.changes.length === 0 && <p className={styles['quiet']}>{text.noChanges}</p>}
          <ul className={styles['changes']}>
            {verdict.changes.map(({ reason, count, advice }) => (
              <li key={reason}>
                <strong>{text.change(count, reviewStrings.reasons[reason])}</strong>
                <p>{advice}</p>
              </li>
            ))}
          </ul>
          {verdict.outcome === 'approved' && (
            <div className={styles['next']}>
              <p>{text.next}</p>
              <code>{command}</code>
              <CopyText look="secondary" text={command} label={text.copy} />
            </div>
          )}
        </section>
      </div>
      <RevealedCards cards={verdict.cards} />
      <a href="/">{reviewStrings.back}</a>
    </div>
  );
}
