/** Copy and Download of one picture, always visible. What goes wrong is said above them, and moves nothing. */
import { Button } from '../ui/button';
import { CloseIcon, CopyIcon, DownloadIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './saving.module.css';
import type { Keeping } from './use-save-picture';

export function KeepButtons({ keeping, n }: { keeping: Keeping; n: number }) {
  const text = strings.picture;
  const copy = keeping.isCopied ? strings.copied : text.copy;
  return (
    <div className={styles['keep']}>
      <Button look="quiet" aria-label={text.label(copy, n)} onClick={keeping.copy}>
        <CopyIcon />
        {copy}
      </Button>
      <Button
        look="quiet"
        isUnavailable={keeping.isSaving}
        aria-label={text.label(text.download, n)}
        onClick={keeping.download}
      >
        <DownloadIcon />
        {text.download}
      </Button>
      {keeping.trouble !== null && (
        <div className={styles['note']}>
          <p>{keeping.trouble}</p>
          <Button look="quiet" aria-label={strings.lightbox.close} onClick={keeping.dismiss}>
            <CloseIcon />
          </Button>
        </div>
      )}
    </div>
  );
}
