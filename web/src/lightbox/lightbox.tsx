/**
 * A run's pictures, large, one at a time, with what is known about them.
 *
 * A native modal dialog: the browser keeps the focus inside, makes the page behind it inert and closes it with Esc.
 * Radix's dialog injects styles, which the page's Content-Security-Policy forbids. It has a live region of its own, as
 * nothing of the page behind is read out meanwhile.
 */
import { useId, useRef, useState } from 'react';
import type { Job } from '../api/get-job';
import { Announcer, useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { ChevronIcon, CloseIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import { KeepButtons } from '../saving/picture-buttons';
import styles from './lightbox.module.css';
import { LightboxDetails } from './lightbox-details';
import { LightboxPicture, pan } from './lightbox-picture';
import { useKeeping } from '../saving/use-save-picture';
import { useKeys } from './use-shortcuts';
import { useModal } from './use-modal';

const text = strings.lightbox;

type LightboxProps = {
  /** A complete job. */
  job: Job;
  /** The number (1–4) of the picture to begin with. */
  start: number;
  onClose: () => void;
  onExpired: () => void;
  onKept: () => void;
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

function Content({ job, start, onClose, onExpired, onKept, titleId }: LightboxProps & { titleId: string }) {
  const announce = useAnnounce();
  const [n, setN] = useState(start);
  const [isActual, setIsActual] = useState(false);
  const address = job.images[n - 1] ?? '';
  const keeping = useKeeping(address, onKept, onExpired);
  const last = job.images.length;

  function show(next: number): void {
    if (next < 1 || next > last || next === n) return;
    setN(next);
    announce(text.place(next));
  }
  const zoom = () => setIsActual(!isActual);

  const viewport = useRef<HTMLDivElement>(null);
  useKeys({
    ArrowLeft: () => pan(viewport.current, -1, 0) || show(n - 1),
    ArrowRight: () => pan(viewport.current, 1, 0) || show(n + 1),
    ArrowUp: () => pan(viewport.current, 0, -1),
    ArrowDown: () => pan(viewport.current, 0, 1),
    Home: () => show(1),
    End: () => show(last),
    z: zoom,
    c: keeping.copy,
    d: keeping.download,
  });

  return (
    <div className={styles['panel']}>
      <div className={styles['close']}>
        <Button look="quiet" aria-label={text.close} aria-keyshortcuts="Escape" onClick={onClose}>
          <CloseIcon />
        </Button>
      </div>
      <LightboxPicture
        address={address}
        alt={strings.picture.alt(n, job.prompt)}
        isActual={isActual}
        onExpired={onExpired}
        onKept={onKept}
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
          <span className={styles['place']}>{text.place(n)}</span>
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
          <Button look="quiet" aria-keyshortcuts="Z" onClick={zoom}>
            {text.zoom(isActual)}
          </Button>
          <KeepButtons keeping={keeping} n={n} />
        </div>
      </div>
      <LightboxDetails job={job} n={n} titleId={titleId} />
    </div>
  );
}
