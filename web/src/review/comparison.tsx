/** A drawing in the style beside one of the pictures that it is compared with, both large. Keys: arrows, Esc. */
import { useId } from 'react';
import type { Aside, RevealedCard } from '../api/get-review';
import { useImage, useTile } from '../api/use-image';
import { Announcer, useAnnounce } from '../ui/announcer';
import { BlobImage } from '../ui/blob-image';
import { Button } from '../ui/button';
import { ChevronIcon, CloseIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import { useModal } from '../ui/use-modal';
import { useShortcuts } from '../ui/use-shortcuts';
import { asideLabels } from './aside-labels';
import styles from './comparison.module.css';
import { reviewStrings } from './review-strings';

const text = reviewStrings.compare;

type ComparisonProps = {
  card: RevealedCard;
  /** Which of the card's asides is shown, from 0. */
  at: number;
  onShow: (at: number) => void;
  onClose: () => void;
};

export function Comparison(props: ComparisonProps) {
  const dialog = useModal(props.onClose);
  const id = useId();
  return (
    <dialog ref={dialog} tabIndex={-1} className={styles['dialog']} aria-labelledby={id}>
      <Announcer>
        <Content {...props} titleId={id} />
      </Announcer>
    </dialog>
  );
}

function Content({ card, at, onShow, onClose, titleId }: ComparisonProps & { titleId: string }) {
  const announce = useAnnounce();
  const count = card.asides.length;
  const labels = asideLabels(card.asides);
  const aside = card.asides[at];
  if (aside === undefined) throw new Error('a card without this aside');
  const label = labels[at] ?? '';

  function show(next: number): false | undefined {
    const nextLabel = labels[next];
    if (nextLabel === undefined) return false;
    onShow(next);
    announce(`${text.position(next + 1, count)}: ${nextLabel}`);
    return undefined;
  }
  useShortcuts({ ArrowLeft: () => show(at - 1), ArrowRight: () => show(at + 1) });

  return (
    <>
      <div className={styles['head']}>
        <h2 id={titleId} title={card.prompt}>
          {text.title(card.n, card.prompt)}
        </h2>
        <Button look="quiet" aria-label={text.close} aria-keyshortcuts="Escape" onClick={onClose}>
          <CloseIcon />
        </Button>
      </div>
      <div className={styles['pair']}>
        <Drawn card={card} />
        <Beside key={aside.picture} aside={aside} label={label} />
      </div>
      {count > 1 && (
        <div className={styles['pager']}>
          <Button
            look="quiet"
            aria-label={text.previous}
            aria-keyshortcuts="ArrowLeft"
            isUnavailable={at === 0}
            onClick={() => show(at - 1)}
          >
            <ChevronIcon />
          </Button>
          <span className={styles['place']}>{text.position(at + 1, count)}</span>
          <Button
            look="quiet"
            aria-label={text.next}
            aria-keyshortcuts="ArrowRight"
            isUnavailable={at === count - 1}
            onClick={() => show(at + 1)}
          >
            <ChevronIcon />
          </Button>
        </div>
      )}
    </>
  );
}

function Drawn({ card }: { card: RevealedCard }) {
  const { file } = useImage(card.picture, () => undefined);
  return (
    <figure className={styles['side']}>
      <div className={styles['picture']}>
        {file !== undefined && <BlobImage blob={file} alt={text.drawnAlt(card.n)} />}
      </div>
      <figcaption>
        <p className={styles['name']}>{text.drawn}</p>
        {card.seed !== null && <p>{reviewStrings.reveal.seed(card.seed)}</p>}
      </figcaption>
    </figure>
  );
}

function Beside({ aside, label }: { aside: Aside; label: string }) {
  const image = useImage(aside.picture, () => undefined);
  const tile = useTile(aside.picture, () => undefined);
  const shown = image.file ?? (image.isFailed ? undefined : tile.file); // the tile, enlarged, until the PNG has come
  return (
    <figure className={styles['side']}>
      <div className={styles['picture']}>
        {shown !== undefined && (
          <BlobImage
            blob={shown}
            alt={label}
            onError={image.file === undefined ? tile.markBroken : image.markBroken}
          />
        )}
        {image.isFailed && (
          <>
            <p>{text.failed}</p>
            <Button onClick={image.retry}>{strings.retry}</Button>
          </>
        )}
      </div>
      <figcaption>
        <p className={styles['name']} title={aside.source ?? undefined}>
          {label} {aside.source !== null && <span>{aside.source}</span>}
        </p>
        {aside.kind === 'base' && <p>{text.same}</p>}
        {aside.is_flagged && <p className={styles['flag']}>{text.alike(aside.is_mirrored)}</p>}
      </figcaption>
    </figure>
  );
}
