/** All cards after the verdict, by what they were, with what the reviewer said of them. */
import type { RevealedCard } from '../api/get-review';
import { useImage } from '../api/use-image';
import { BlobImage } from '../ui/blob-image';
import styles from './revealed-cards.module.css';
import { reviewStrings } from './review-strings';

const GROUPS: readonly RevealedCard['kind'][] = ['pack', 'original', 'base'];

export function RevealedCards({ cards }: { cards: RevealedCard[] }) {
  return GROUPS.map((kind) => (
    <section key={kind}>
      <h2 className={styles['group']}>{reviewStrings.reveal.groups[kind]}</h2>
      <ul className={styles['cards']}>
        {cards
          .filter((card) => card.kind === kind)
          .map((card) => (
            <li key={card.n}>
              <Card card={card} />
            </li>
          ))}
      </ul>
    </section>
  ));
}

function Card({ card }: { card: RevealedCard }) {
  const text = reviewStrings.reveal;
  const { file } = useImage(card.picture, () => undefined);
  return (
    <figure className={styles['card']}>
      <div className={styles['picture']}>
        {file !== undefined && <BlobImage blob={file} alt={text.alt(card.n, card.prompt)} />}
      </div>
      <figcaption>
        <p className={styles['answer']} data-answer={card.answer}>
          {reviewStrings.answers[card.answer]}
        </p>
        {card.reasons.length > 0 && (
          <p className={styles['reasons']}>{card.reasons.map((reason) => reviewStrings.reasons[reason]).join(', ')}</p>
        )}
        <p className={styles['prompt']} title={card.prompt}>
          {card.prompt}
        </p>
        {card.seed !== null && <p className={styles['seed']}>{text.seed(card.seed)}</p>}
      </figcaption>
    </figure>
  );
}
