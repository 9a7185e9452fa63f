/** One of the four places: empty, then a preview, then the picture and what can be done with it. */
import { useState, type KeyboardEvent } from 'react';
import type { Job } from '../api/get-job';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import { BlobImage } from '../ui/blob-image';
import { KeepButtons } from '../saving/picture-buttons';
import styles from './picture-grid.module.css';
import { Preview } from './preview';
import { useDragOut } from '../saving/use-drag-out';
import { useKeeping } from '../saving/use-save-picture';
import { usePicture } from '../api/use-image';

export type TileActions = {
  /** Shows picture `n` large. */
  open: (n: number) => void;
  ticked: ReadonlySet<number>;
  tick: (n: number, isTicked: boolean) => void;
  onExpired: () => void;
  /** A picture was saved or copied. */
  onKept: () => void;
};

type PictureTileProps = {
  job: Job | null;
  n: number;
  prompt: string;
  actions: TileActions;
  /** A key on the picture that isn't its own: an arrow key goes to another one. */
  onArrow: (event: KeyboardEvent<HTMLElement>) => void;
};

export function PictureTile({ job, n, prompt, actions, onArrow }: PictureTileProps) {
  const address = job?.images[n - 1];
  const preview = job?.progress.previews[n - 1];
  const percent = job?.status === 'complete' ? 100 : (job?.progress.percent ?? 0);
  const isDrawing = job?.status === 'processing' && preview === undefined;
  return (
    <figure className={styles['tile']}>
      <div className={classes(styles['square'], isDrawing && styles['drawing'])} data-testid="square">
        {preview !== undefined && <Preview jpeg={preview} percent={percent} />}
      </div>
      {address === undefined ? (
        <div className={styles['bar']} aria-hidden="true">
          <span className={styles['number']}>{n}</span>
        </div>
      ) : (
        <Picture address={address} n={n} prompt={prompt} actions={actions} onArrow={onArrow} />
      )}
    </figure>
  );
}

type PictureProps = Omit<PictureTileProps, 'job'> & { address: string };

function Picture({ address, n, prompt, actions, onArrow }: PictureProps) {
  const { open, ticked, tick, onKept, onExpired } = actions;
  const picture = usePicture(address, onExpired);
  const keeping = useKeeping(address, onKept, onExpired);

  function onKeyDown(event: KeyboardEvent<HTMLElement>): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    onArrow(event);
    if (event.repeat) return;
    if (event.key.toLowerCase() === 'd') keeping.download();
    if (event.key.toLowerCase() === 'c') keeping.copy();
  }

  return (
    <>
      {picture.isFailed && (
        <div className={styles['trouble']}>
          <p>{strings.picture.failed}</p>
          <Button onClick={picture.retry}>{strings.retry}</Button>
        </div>
      )}
      {picture.file === undefined && !picture.isFailed && (
        <p className={styles['loading']}>{strings.picture.loading}</p>
      )}
      {picture.file !== undefined && (
        <button
          type="button"
          className={styles['open']}
          data-picture={n}
          aria-haspopup="dialog"
          aria-keyshortcuts="D C"
          onClick={() => open(n)}
          onKeyDown={onKeyDown}
        >
          <Shown
            file={picture.file}
            alt={strings.picture.alt(n, prompt)}
            onBroken={picture.markBroken}
            onKept={onKept}
          />
        </button>
      )}
      <figcaption className={styles['bar']}>
        <label className={styles['tick']}>
          <input
            type="checkbox"
            aria-label={strings.picture.tick(n)}
            checked={ticked.has(n)}
            onChange={(event) => tick(n, event.target.checked)}
          />
          <span className={styles['number']}>{n}</span>
        </label>
        <KeepButtons keeping={keeping} n={n} />
      </figcaption>
    </>
  );
}

type ShownProps = { file: File; alt: string; onBroken: () => void; onKept: () => void };

function Shown({ file, alt, onBroken, onKept }: ShownProps) {
  const [isShown, setIsShown] = useState(false);
  const dragOut = useDragOut(file, onKept);
  return (
    <BlobImage
      blob={file}
      alt={alt}
      width={1024}
      height={1024}
      decoding="async"
      className={classes(styles['picture'], isShown && styles['shown'])}
      onLoad={() => setIsShown(true)}
      onError={onBroken}
      {...dragOut}
    />
  );
}
