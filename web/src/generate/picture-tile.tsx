/** One finished picture and what can be done with it. */
import { useCallback, useState } from 'react';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { DownloadIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './picture-grid.module.css';
import { useDownload } from './use-download';
import { usePicture } from './use-picture';

type PictureTileProps = { address: string; n: number; prompt: string; onExpired: () => void };

export function PictureTile({ address, n, prompt, onExpired }: PictureTileProps) {
  const picture = usePicture(address, onExpired);
  const download = useDownload(address, onExpired);
  return (
    <figure>
      <div className={styles['square']}>
        {picture.blob !== undefined && (
          <Picture blob={picture.blob} alt={strings.picture.alt(n, prompt)} onBroken={picture.markBroken} />
        )}
        {picture.isFailed && (
          <div className={styles['trouble']}>
            <p>{strings.picture.failed}</p>
            <Button onClick={picture.retry}>{strings.retry}</Button>
          </div>
        )}
      </div>
      <figcaption className={styles['bar']}>
        {download.isError ? (
          <span className={styles['message']}>{strings.picture.downloadFailed}</span>
        ) : (
          <span className={styles['number']}>{n}</span>
        )}
        <Button
          look="quiet"
          isUnavailable={download.isPending}
          aria-label={strings.picture.downloadLabel(n)}
          onClick={() => download.mutate()}
        >
          <DownloadIcon />
          {download.isPending ? strings.picture.saving : strings.picture.download}
        </Button>
      </figcaption>
    </figure>
  );
}

function Picture({ blob, alt, onBroken }: { blob: Blob; alt: string; onBroken: () => void }) {
  const [isShown, setIsShown] = useState(false);
  // The address lives exactly as long as the element: nothing of a picture outlasts the page or a sign-out.
  const show = useCallback(
    (image: HTMLImageElement) => {
      const url = URL.createObjectURL(blob);
      image.src = url;
      return () => URL.revokeObjectURL(url);
    },
    [blob],
  );
  return (
    <img
      ref={show}
      alt={alt}
      width={1024}
      height={1024}
      className={classes(styles['picture'], isShown && styles['shown'])}
      onLoad={() => setIsShown(true)}
      onError={onBroken}
    />
  );
}
