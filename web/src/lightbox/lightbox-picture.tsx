/**
 * The large picture. It either fits into the window or is shown at 100 %: one pixel of the picture is one pixel of the
 * screen. At 100 % a person moves it by dragging, by scrolling or with the arrow keys.
 */
import { useLayoutEffect, useRef, useSyncExternalStore, type PointerEvent, type RefObject } from 'react';
import { useImage, useTile } from '../api/use-image';
import { useDragOut } from '../saving/use-drag-out';
import { BlobImage } from '../ui/blob-image';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import styles from './lightbox.module.css';

const SIZE_PX = 1024;
const STEP_PX = 80;

type LightboxPictureProps = {
  /** The picture's path, relative to the API. */
  path: string;
  alt: string;
  isFullSize: boolean;
  onExpired: () => void;
  onSaved: () => void;
  viewport: RefObject<HTMLDivElement | null>;
};

/**
 * Moves the picture one step within its viewport; `across` and `down` are -1, 0 or 1. Returns false if the picture
 * isn't larger than the viewport in that direction.
 */
export function pan(viewport: HTMLDivElement | null, across: number, down: number): boolean {
  if (viewport === null) return false;
  const { scrollWidth, clientWidth, scrollHeight, clientHeight } = viewport;
  if (across !== 0 && scrollWidth <= clientWidth) return false;
  if (down !== 0 && scrollHeight <= clientHeight) return false;
  viewport.scrollLeft += across * STEP_PX;
  viewport.scrollTop += down * STEP_PX;
  return true;
}

export function LightboxPicture({ path, alt, isFullSize, onExpired, onSaved, viewport }: LightboxPictureProps) {
  const image = useImage(path, onExpired);
  const tile = useTile(path, onExpired);
  // The tile's rendition, enlarged, until the PNG has come.
  const shown = image.file ?? (image.isFailed ? undefined : tile.file);
  return (
    <div className={styles['stage']}>
      {shown !== undefined && (
        <Viewport
          ref={viewport}
          file={shown}
          png={image.file}
          alt={alt}
          isFullSize={isFullSize}
          onBroken={image.file === undefined ? tile.markBroken : image.markBroken}
          onSaved={onSaved}
        />
      )}
      {image.isFailed && (
        <div className={styles['failed']}>
          <p>{strings.picture.failed}</p>
          <Button onClick={image.retry}>{strings.retry}</Button>
        </div>
      )}
    </div>
  );
}

type ViewportProps = {
  ref: RefObject<HTMLDivElement | null>;
  file: File;
  /** What a person can drag out of the page, once it is loaded. */
  png: File | undefined;
  alt: string;
  isFullSize: boolean;
  onBroken: () => void;
  onSaved: () => void;
};

function Viewport({ ref, file, png, alt, isFullSize, onBroken, onSaved }: ViewportProps) {
  const dragOut = useDragOut(png, onSaved);
  const pixelRatio = useSyncExternalStore(subscribeToResize, () => window.devicePixelRatio);
  const dragPoint = useRef<{ x: number; y: number } | null>(null);

  useLayoutEffect(() => {
    const viewport = ref.current;
    if (!isFullSize || viewport === null) return;
    viewport.scrollLeft = (viewport.scrollWidth - viewport.clientWidth) / 2;
    viewport.scrollTop = (viewport.scrollHeight - viewport.clientHeight) / 2;
  }, [ref, isFullSize]);

  function startDrag({ pointerType, button, clientX, clientY, currentTarget, pointerId }: PointerEvent): void {
    if (!isFullSize || pointerType !== 'mouse' || button !== 0) return; // a finger scrolls without this code
    currentTarget.setPointerCapture(pointerId);
    dragPoint.current = { x: clientX, y: clientY };
  }
  function drag({ clientX, clientY, currentTarget }: PointerEvent): void {
    if (dragPoint.current === null) return;
    currentTarget.scrollLeft += dragPoint.current.x - clientX;
    currentTarget.scrollTop += dragPoint.current.y - clientY;
    dragPoint.current = { x: clientX, y: clientY };
  }
  function endDrag(): void {
    dragPoint.current = null;
  }

  return (
    <div
      ref={ref}
      className={classes(styles['viewport'], isFullSize && styles['actual'])}
      role="group"
      aria-label={strings.lightbox.zoom(!isFullSize)}
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- keyboard users must be able to scroll it
      tabIndex={isFullSize ? 0 : undefined}
      onPointerDown={startDrag}
      onPointerMove={drag}
      onPointerUp={endDrag}
      onPointerCancel={endDrag}
    >
      <BlobImage
        blob={file}
        alt={alt}
        width={SIZE_PX}
        height={SIZE_PX}
        decoding="sync"
        className={styles['picture']}
        style={isFullSize ? { width: `${SIZE_PX / pixelRatio}px` } : undefined}
        onError={onBroken}
        {...dragOut}
        draggable={dragOut.draggable && !isFullSize}
      />
    </div>
  );
}

function subscribeToResize(listener: () => void): () => void {
  window.addEventListener('resize', listener);
  return () => window.removeEventListener('resize', listener);
}
