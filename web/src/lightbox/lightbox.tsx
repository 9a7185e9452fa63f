/**
 * The lightbox shows a run's pictures large, one at a time, with their facts.
 *
 * It is a native modal dialog: the browser keeps the focus inside, blocks the page behind it, and closes it with Esc.
 * Radix's dialog injects styles, which the page's Content-Security-Policy forbids. The lightbox has its own live
 * region, because screen readers don't read the page behind a modal dialog.
 */
import { useId, useRef, useState } from 'react';
import type { Job } from '../api/get-job';
import { Announcer, useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { ChevronIcon, CloseIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import { PictureButtons } from '../saving/picture-buttons';
import styles from './lightbox.module.css';
import { LightboxDetails } from './lightbox-details';
import { LightboxPicture, pan } from './lightbox-picture';
import { useSavePicture } from '../saving/use-save-picture';
import { useShortcuts } from '../ui/use-shortcuts';
import { useModal } from '../ui/use-modal';

const text = strings.lightbox;

type LightboxProps = {
  /** A complete job. */
  job: Job;
  /** The number (1–4) of the picture that is shown. */
  n: number;
  onShow: (n: number) => void;
  onClose: () => void;
  onExpired: () => void;
  onSaved: () => void;
};

export function Lightbox(props: LightboxProps) {
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

function Content({ job, n, onShow, onClose, onExpired, onSaved, titleId }: LightboxProps & { titleId: string }) {
  const announce = useAnnounce();
  const [isFullSize, setIsFullSize] = useState(false);
  const path = job.images[n - 1] ?? '';
  const savePicture = useSavePicture(path, onSaved, onExpired);
  const last = job.images.length;

  function show(next: number): void {
    if (next < 1 || next > last || next === n) return;
    onShow(next);
    announce(text.position(next));
  }
  const toggleZoom = () => setIsFullSize(!isFullSize);

  const viewport = useRef<HTMLDivElement>(null);
  useShortcuts({
    ArrowLeft: () => pan(viewport.current, -1, 0) || show(n - 1),
    ArrowRight: () => pan(viewport.current, 1, 0) || show(n + 1),
    ArrowUp: () => pan(viewport.current, 0, -1),
    ArrowDown: () => pan(viewport.current, 0, 1),
    Home: () => show(1),
    End: () => show(last),
    z: toggleZoom,
    c: savePicture.copy,
    d: savePicture.download,
  });

  return (
    <div className={styles['panel']}>
      <div className={styles['close']}>
        <Button look="quiet" aria-label={strings.close} aria-keyshortcuts="Escape" onClick={onClose}>
          <CloseIcon />
        </Button>
      </div>
      <LightboxPicture
        path={path}
        alt={strings.picture.alt(n, job.prompt)}
        isFullSize={isFullSize}
        onExpired={onExpired}
        onSaved={onSaved}
        viewport={viewport}
      />
      <div className={styles['toolbar']}>
        <div className={styles['pager']}>
          <Button
            look="quiet"
            aria-label={text.previous}
            aria-keyshortcuts="ArrowLeft"
            isUnavailable={n === 1}
            onClick={() => show(n - 1)}
          >
            <ChevronIcon />
          </Button>
          <span className={styles['place']}>{text.position(n)}</span>
          <Button
            look="quiet"
            aria-label={text.next}
            aria-keyshortcuts="ArrowRight"
            isUnavailable={n === last}
            onClick={() => show(n + 1)}
          >
            <ChevronIcon />
          </Button>
        </div>
        <div className={styles['tools']}>
          <Button look="quiet" aria-keyshortcuts="Z" onClick={toggleZoom}>
            {text.zoom(isFullSize)}
          </Button>
          <PictureButtons savePicture={savePicture} n={n} />
        </div>
      </div>
      <LightboxDetails job={job} n={n} titleId={titleId} />
    </div>
  );
}
