/** The picture of a card. Every card has the same size, and nothing on it says where it comes from. */
import type { useImage } from '../api/use-image';
import { BlobImage } from '../ui/blob-image';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './card-stage.module.css';
import { reviewStrings } from './review-strings';

type CardPictureProps = { image: ReturnType<typeof useImage>; n: number; count: number };

export function CardPicture({ image, n, count }: CardPictureProps) {
  const text = reviewStrings.card;
  return (
    <div className={styles['picture']} aria-busy={image.file === undefined && !image.isFailed}>
      {image.file !== undefined ? (
        <BlobImage blob={image.file} alt={text.alt(n, count)} onError={image.markBroken} draggable={false} />
      ) : image.isFailed ? (
        <>
          <p>{text.failed}</p>
          <Button onClick={image.retry}>{strings.retry}</Button>
        </>
      ) : (
        <p>{text.loading}</p>
      )}
    </div>
  );
}
