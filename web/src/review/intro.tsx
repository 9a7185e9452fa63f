/** What a reviewer reads before the first picture: the rule that decides, and how to answer. */
import type { Review } from '../api/get-review';
import { Button } from '../ui/button';
import styles from './review.module.css';
import { reviewStrings as text } from './review-strings';

type IntroProps = { review: Review; done: number; onBegin: () => void };

export function Intro({ review, done, onBegin }: IntroProps) {
  const count = review.cards.length;
  return (
    <div className={styles['column']}>
      <h1 className={styles['title']}>{text.title(review.pack_name, review.pack_version)}</h1>
      <p>{text.intro.lead(count)}</p>
      <section className={styles['panel']}>
        <h2>{text.intro.rule}</h2>
        <ul className={styles['rule']}>
          {review.rule.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      </section>
      <p className={styles['quiet']}>{text.intro.kept}</p>
      <p className={styles['keys']}>{text.intro.keys}</p>
      <Button look="primary" onClick={onBegin}>
        {done === 0 ? text.intro.begin : text.intro.goOn(done, count)}
      </Button>
    </div>
  );
}
