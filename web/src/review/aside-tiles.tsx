/** What a drawing is compared with, as small tiles. Each opens the comparison. */
import type { Aside, RevealedCard } from '../api/get-review';
import { useTile } from '../api/use-image';
import { BlobImage } from '../ui/blob-image';
import { asideLabels } from './aside-labels';
import styles from './revealed-cards.module.css';
import { reviewStrings } from './review-strings';

type AsideTilesProps = { card: RevealedCard; onCompare: (at: number) => void };

export function AsideTiles({ card, onCompare }: AsideTilesProps) {
  const labels = asideLabels(card.asides);
  return (
    <ul className={styles['asides']}>
      {card.asides.map((aside, at) => (
        <li key={aside.picture}>
          <Tile aside={aside} label={labels[at] ?? ''} n={card.n} onCompare={() => onCompare(at)} />
        </li>
      ))}
    </ul>
  );
}

type TileProps = { aside: Aside; label: string; n: number; onCompare: () => void };

function Tile({ aside, label, n, onCompare }: TileProps) {
  const { file, markBroken } = useTile(aside.picture, () => undefined);
  return (
    <button
      type="button"
      className={styles['aside']}
      data-flagged={aside.is_flagged || undefined}
      aria-label={reviewStrings.compare.open(label, n)}
      onClick={onCompare}
    >
      <span className={styles['tile']}>
        {file !== undefined && <BlobImage blob={file} alt="" onError={markBroken} />}
      </span>
      {label}
    </button>
  );
}
