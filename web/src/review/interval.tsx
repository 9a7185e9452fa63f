/** What ten pictures can tell: the share of usable ones, and how far the true share may be from it. */
import type { Verdict } from '../api/get-review';
import styles from './interval.module.css';
import { reviewStrings } from './review-strings';

type IntervalProps = { usable: number; samples: number; interval: Verdict['interval'] };

export function Interval({ usable, samples, interval }: IntervalProps) {
  const text = reviewStrings.reveal;
  const [low, high] = [Math.round(100 * interval.low), Math.round(100 * interval.high)];
  const description = text.intervalText(usable, samples, low, high);
  return (
    <div role="img" aria-label={description} className={styles['interval']}>
      <div className={styles['scale']}>
        <span className={styles['range']} style={{ insetInlineStart: `${low}%`, width: `${high - low}%` }} />
        <span className={styles['point']} style={{ insetInlineStart: `${(100 * usable) / samples}%` }} />
      </div>
      <div className={styles['ends']}>
        <span>0 %</span>
        <span>{text.interval}</span>
        <span>100 %</span>
      </div>
    </div>
  );
}
