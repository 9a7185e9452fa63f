/** One of the four tiles of a run: first empty, then a preview, then the picture with its buttons. */
import { useEffect, useState, type KeyboardEvent } from 'react';
import type { Job } from '../api/get-job';
import { useLoadedImage, useTile } from '../api/use-image';
import { PictureButtons } from '../saving/picture-buttons';
import { useDragOut } from '../saving/use-drag-out';
import { useSavePicture } from '../saving/use-save-picture';
import { BlobImage } from '../ui/blob-image';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import styles from './picture-grid.module.css';
import { Preview } from './preview';

/** The rendition's pixels one way. */
const RENDITION_SIDE = 512;

export type TileActions = {
  /** Shows picture `n` in the lightbox. */
  enlarge: (n: number) => void;
  selected: ReadonlySet<number>;
  select: (n: number, isSelected: boolean) => void;
  /** Picture `n` is shown; or it isn't, because it couldn't be loaded. */
  settle: (n: number, isShown: boolean) => void;
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
  const { enlarge, selected, select, settle, onSaved, onExpired } = actions;
  const image = useTile(path, onExpired);
  const png = useLoadedImage(path);
  const [brokenPng, setBrokenPng] = useState<File>();
  const file = image.file ?? (png === brokenPng ? undefined : png);
  const isFailed = image.isFailed && file === undefined;
  useEffect(() => {
    if (isFailed) settle(n, false);
  }, [isFailed, settle, n]);
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
      {isFailed && (
        <div className={styles['failed']}>
          <p>{strings.picture.failed}</p>
          <Button onClick={image.retry}>{strings.retry}</Button>
        </div>
      )}
      {file === undefined && !isFailed && <p className={styles['loading']}>{strings.picture.loading}</p>}
      {file !== undefined && (
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
            file={file}
            png={png}
            alt={strings.picture.alt(n, prompt)}
            onShown={() => settle(n, true)}
            onBroken={image.file === undefined ? () => setBrokenPng(png) : image.markBroken}
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

type FadeInImageProps = {
  file: File;
  /** What a person can drag out of the page, or save with the browser's own menu, once it is loaded. */
  png: File | undefined;
  alt: string;
  onShown: () => void;
  onBroken: () => void;
  onSaved: () => void;
};

function FadeInImage({ file, png, alt, onShown, onBroken, onSaved }: FadeInImageProps) {
  const [isLoaded, setIsLoaded] = useState(false);
  // A large window or a screen of fine pixels shows more than the rendition has.
  const [isLarge, setIsLarge] = useState(false);
  // The browser drags, copies and saves what an <img> shows. So from the first touch on that is the PNG.
  const [isTouched, setIsTouched] = useState(false);
  const [badPng, setBadPng] = useState<File>();
  const dragOut = useDragOut(png, onSaved);
  const shown = (isTouched || isLarge) && png !== undefined && png !== badPng ? png : file;
  return (
    <BlobImage
      blob={shown}
      alt={alt}
      width={RENDITION_SIDE}
      height={RENDITION_SIDE}
      decoding="sync" // 3 ms; so a loaded picture is a visible one
      className={classes(styles['picture'], isLoaded && styles['shown'])}
      onLoad={({ currentTarget }) => {
        setIsLoaded(true);
        setIsLarge(currentTarget.clientWidth * window.devicePixelRatio > RENDITION_SIDE);
        onShown();
      }}
      onError={() => (shown === file ? onBroken() : setBadPng(png))}
      onPointerDown={() => setIsTouched(true)}
      {...dragOut}
    />
  );
}
