/** One of the four tiles of a run: first empty, then a preview, then the picture with its buttons. */
import { useState, type KeyboardEvent } from 'react';
import type { Job } from '../api/get-job';
import { useImage } from '../api/use-image';
import { PictureButtons } from '../saving/picture-buttons';
import { useDragOut } from '../saving/use-drag-out';
import { useSavePicture } from '../saving/use-save-picture';
import { BlobImage } from '../ui/blob-image';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import styles from './picture-grid.module.css';
import { Preview } from './preview';

export type TileActions = {
  /** Shows picture `n` in the lightbox. */
  enlarge: (n: number) => void;
  selected: ReadonlySet<number>;
  select: (n: number, isSelected: boolean) => void;
  onExpired: () => void;
  /** A picture was saved or copied. */
  onSaved: () => void;
};

type PictureTileProps = {
  job: Job | null;
  /** The number of the picture, 1–4. */
  n: number;
  prompt: string;
  actions: TileActions;
  /** Gets every key press on the picture, to move the focus with the arrow keys. */
  onArrow: (event: KeyboardEvent<HTMLElement>) => void;
};

export function PictureTile({ job, n, prompt, actions, onArrow }: PictureTileProps) {
  const path = job?.images[n - 1];
  const preview = job?.progress.previews[n - 1];
  const percent = job?.status === 'complete' ? 100 : (job?.progress.percent ?? 0);
  const isDrawing = job?.status === 'processing' && preview === undefined;
  return (
    <figure className={styles['tile']}>
      <div className={classes(styles['square'], isDrawing && styles['drawing'])} data-testid="square">
        {preview !== undefined && <Preview jpeg={preview} percent={percent} />}
      </div>
      {path === undefined ? (
        <div className={styles['bar']} aria-hidden="true">
          <span className={styles['number']}>{n}</span>
        </div>
      ) : (
        <Picture path={path} n={n} prompt={prompt} actions={actions} onArrow={onArrow} />
      )}
    </figure>
  );
}

type PictureProps = Omit<PictureTileProps, 'job'> & { path: string };

function Picture({ path, n, prompt, actions, onArrow }: PictureProps) {
  const { enlarge, selected, select, onSaved, onExpired } = actions;
  const image = useImage(path, onExpired);
  const savePicture = useSavePicture(path, onSaved, onExpired);

  function onKeyDown(event: KeyboardEvent<HTMLElement>): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    onArrow(event);
    if (event.repeat) return;
    if (event.key.toLowerCase() === 'd') savePicture.download();
    if (event.key.toLowerCase() === 'c') savePicture.copy();
  }

  return (
    <>
      {image.isFailed && (
        <div className={styles['failed']}>
          <p>{strings.picture.failed}</p>
          <Button onClick={image.retry}>{strings.retry}</Button>
        </div>
      )}
      {image.file === undefined && !image.isFailed && <p className={styles['loading']}>{strings.picture.loading}</p>}
      {image.file !== undefined && (
        <button
          type="button"
          className={styles['open']}
          data-picture={n}
          aria-haspopup="dialog"
          aria-keyshortcuts="D C"
          onClick={() => enlarge(n)}
          onKeyDown={onKeyDown}
        >
          <FadeInImage
            file={image.file}
            alt={strings.picture.alt(n, prompt)}
            onBroken={image.markBroken}
            onSaved={onSaved}
          />
        </button>
      )}
      <figcaption className={styles['bar']}>
        <label className={styles['tick']}>
          <input
            type="checkbox"
            aria-label={strings.picture.select(n)}
            checked={selected.has(n)}
            onChange={(event) => select(n, event.target.checked)}
          />
          <span className={styles['number']}>{n}</span>
        </label>
        <PictureButtons savePicture={savePicture} n={n} />
      </figcaption>
    </>
  );
}

type FadeInImageProps = { file: File; alt: string; onBroken: () => void; onSaved: () => void };

function FadeInImage({ file, alt, onBroken, onSaved }: FadeInImageProps) {
  const [isLoaded, setIsLoaded] = useState(false);
  const dragOut = useDragOut(file, onSaved);
  return (
    <BlobImage
      blob={file}
      alt={alt}
      width={1024}
      height={1024}
      decoding="async"
      className={classes(styles['picture'], isLoaded && styles['shown'])}
      onLoad={() => setIsLoaded(true)}
      onError={onBroken}
      {...dragOut}
    />
  );
}
