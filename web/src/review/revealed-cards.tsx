/**
 * All cards after the verdict, by what they were, with what the reviewer said of them. Those in the style come with
 * what they are compared with.
 */
import { useState } from 'react';
import type { RevealedCard } from '../api/get-review';
import { useImage } from '../api/use-image';
import { BlobImage } from '../ui/blob-image';
import { classes } from '../ui/classes';
import { AsideTiles } from './aside-tiles';
import { Comparison } from './comparison';
import styles from './revealed-cards.module.css';
import { reviewStrings } from './review-strings';

const GROUPS: readonly RevealedCard['kind'][] = ['pack', 'original', 'base'];

export function RevealedCards({ cards }: { cards: RevealedCard[] }) {
  const [open, setOpen] = useState<{ n: number; at: number } | null>(null);
  const compared = cards.find(({ n }) => n === open?.n);
  return (
    <>
      {GROUPS.map((kind) => (
        <Group
          key={kind}
          kind={kind}
          cards={cards.filter((card) => card.kind === kind)}
          onCompare={(n, at) => setOpen({ n, at })}
        />
      ))}
      {open !== null && compared !== undefined && (
        <Comparison
          card={compared}
          at={open.at}
          onShow={(at) => setOpen({ ...open, at })}
          onClose={() => setOpen(null)}
        />
      )}
    </>
  );
}

type GroupProps = {
  kind: RevealedCard['kind'];
  cards: RevealedCard[];
  onCompare: (n: number, at: number) => void;
};

function Group({ kind, cards, onCompare }: GroupProps) {
  const text = reviewStrings.compare;
  const asides = cards.flatMap((card) => card.asides);
  const hasTraining = asides.some((aside) => aside.kind === 'training');
  return (
    <section>
      <h2 className={styles['group']}>{reviewStrings.reveal.groups[kind]}</h2>
      {asides.length > 0 && (
        <p className={styles['lead']}>{hasTraining ? text.lead : `${text.leadBaseOnly} ${text.noTraining}`}</p>
      )}
      <ul className={classes(styles['cards'], asides.length > 0 && styles['compared'])}>
        {cards.map((card) => (
          <li key={card.n}>
            <Card card={card} onCompare={(at) => onCompare(card.n, at)} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Card({ card, onCompare }: { card: RevealedCard; onCompare: (at: number) => void }) {
  const text = reviewStrings.reveal;
  const { file } = useImage(card.picture, () => undefined);
  const flagged = card.asides.find((aside) => aside.is_flagged);
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
        {flagged !== undefined && (
          <p className={styles['flag']}>{reviewStrings.compare.flag(flagged.is_mirrored)}</p>
        )}
      </figcaption>
      {card.asides.length > 0 && <AsideTiles card={card} onCompare={onCompare} />}
    </figure>
  );
}
