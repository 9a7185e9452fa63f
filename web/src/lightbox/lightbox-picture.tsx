/**
 * The large picture: fitted to its place, or at 100 %, one of its pixels to one of the screen's, and then moved by
 * dragging, by scrolling or with the arrow keys. Its place is the same for every picture, so nothing moves.
 */
import { useLayoutEffect, useRef, useSyncExternalStore, type PointerEvent, type RefObject } from 'react';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import { BlobImage } from '../ui/blob-image';
import styles from './lightbox.module.css';
import { useDragOut } from '../saving/use-drag-out';
import { usePicture } from '../api/use-image';

const PIXELS = 1024;
const STEP_PX = 80;

type LightboxPictureProps = {
  address: string;
  alt: string;
  isActual: boolean;
  onExpired: () => void;
  onKept: () => void;
  viewport: RefObject<HTMLDivElement | null>;
};

/** Moves the picture by a step if it is larger than its place; false if it isn't, that way. */
export function pan(viewport: HTMLDivElement | null, across: number, down: number): boolean {
  if (viewport === null) return false;
  const { scrollWidth, clientWidth, scrollHeight, clientHeight } = viewport;
  if (across !== 0 && scrollWidth <= clientWidth) return false;
  if (down !== 0 && scrollHeight <= clientHeight) return false;
  viewport.scrollLeft += across * STEP_PX;
  viewport.scrollTop += down * STEP_PX;
  return true;
}

export function LightboxPicture({ address, alt, isActual, onExpired, onKept, viewport }: LightboxPictureProps) {
  const picture = usePicture(address, onExpired);
  return (
    <div className={styles['stage']}>
      {picture.file !== undefined && (
        <Viewport
          ref={viewport}
          file={picture.file}
          alt={alt}
          isActual={isActual}
          onBroken={picture.markBroken}
          onKept={onKept}
        />
      )}
      {picture.isFailed && (
        <div className={styles['failed']}>
          <p>{strings.picture.failed}</p>
          <Button onClick={picture.retry}>{strings.retry}</Button>
        </div>
      )}
    </div>
  );
}

type ViewportProps = {
  ref: RefObject<HTMLDivElement | null>;
  file: File;
  alt: string;
  isActual: boolean;
  onBroken: () => void;
  onKept: () => void;
};

function Viewport({ ref, file, alt, isActual, onBroken, onKept }: ViewportProps) {
  const dragOut = useDragOut(file, onKept);
  const ratio = useSyncExternalStore(subscribeToResize, () => window.devicePixelRatio);
  const grip = useRef<{ x: number; y: number } | null>(null);

  useLayoutEffect(() => {
    const viewport = ref.current;
    if (!isActual || viewport === null) return;
    viewport.scrollLeft = (viewport.scrollWidth - viewport.clientWidth) / 2;
    viewport.scrollTop = (viewport.scrollHeight - viewport.clientHeight) / 2;
  }, [ref, isActual]);

  function hold({ pointerType, button, clientX, clientY, currentTarget, pointerId }: PointerEvent): void {
    if (!isActual || pointerType !== 'mouse' || button !== 0) return; // fingers scroll by themselves
    currentTarget.setPointerCapture(pointerId);
    grip.current = { x: clientX, y: clientY };
  }
  function pull({ clientX, clientY, currentTarget }: PointerEvent): void {
    if (grip.current === null) return;
    currentTarget.scrollLeft += grip.current.x - clientX;
    currentTarget.scrollTop += grip.current.y - clientY;
    grip.current = { x: clientX, y: clientY };
  }
  function letGo(): void {
    grip.current = null;
  }

  return (
    <div
      ref={ref}
      className={classes(styles['viewport'], isActual && styles['actual'])}
      role="group"
      aria-label={strings.lightbox.zoom(!isActual)}
      // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      tabIndex={isActual ? 0 : undefined}
      onPointerDown={hold}
      onPointerMove={pull}
      onPointerUp={letGo}
      onPointerCancel={letGo}
    >
      <BlobImage
        blob={file}
        alt={alt}
        width={PIXELS}
        height={PIXELS}
        decoding="sync"
        className={styles['picture']}
        style={isActual ? { width: `${PIXELS / ratio}px` } : undefined}
        onError={onBroken}
        {...dragOut}
        draggable={!isActual}
      />
    </div>
  );
}

function subscribeToResize(listener: () => void): () => void {
  window.addEventListener('resize', listener);
  return () => window.removeEventListener('resize', listener);
}
