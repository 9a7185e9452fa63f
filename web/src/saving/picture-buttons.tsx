/** Copy and Download for one picture. An error is shown above the buttons, so that nothing moves. */
import { Button } from '../ui/button';
import { CheckIcon, CloseIcon, CopyIcon, DownloadIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './saving.module.css';
import type { SavePicture } from './use-save-picture';

export function PictureButtons({ savePicture, n }: { savePicture: SavePicture; n: number }) {
  const text = strings.picture;
  const copyLabel = savePicture.isCopied ? strings.copied : text.copy;
  return (
    <div className={styles['buttons']}>
      <Button look="quiet" aria-label={text.label(copyLabel, n)} onClick={savePicture.copy}>
        {savePicture.isCopied ? <CheckIcon /> : <CopyIcon />}
        <span className={styles['word']}>{copyLabel}</span>
      </Button>
      <Button
        look="quiet"
        isUnavailable={savePicture.isDownloading}
        aria-label={text.label(text.download, n)}
        onClick={savePicture.download}
      >
        <DownloadIcon />
        <span className={styles['word']}>{text.download}</span>
      </Button>
      {savePicture.errorText !== null && (
        <div className={styles['note']}>
          <p>{savePicture.errorText}</p>
          <Button look="quiet" aria-label={strings.close} onClick={savePicture.dismissError}>
            <CloseIcon />
          </Button>
        </div>
      )}
    </div>
  );
}
