/** The button that saves all pictures of a job, or the selected ones, as one zip. */
import { useEffect } from 'react';
import type { Job } from '../api/get-job';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './saving.module.css';
import { useDownloadAll } from './use-download-all';

type DownloadAllButtonProps = {
  job: Job;
  /** The numbers (1–4) of the selected pictures. An empty set means all pictures. */
  selected: ReadonlySet<number>;
  onExpired: () => void;
  onSaved: () => void;
};

export function DownloadAllButton({ job, selected, onExpired, onSaved }: DownloadAllButtonProps) {
  const { start, progress, errorText } = useDownloadAll(job, onSaved, onExpired);
  const announce = useAnnounce();
  useEffect(() => {
    if (errorText !== null) announce(errorText);
  }, [errorText, announce]);

  const all = job.images.map((_path, index) => index + 1);
  const numbers = selected.size === 0 ? all : all.filter((n) => selected.has(n));
  return (
    <div className={styles['downloads']}>
      <Button isUnavailable={progress !== null} onClick={() => start(numbers)}>
        {progress === null
          ? strings.saving.all(selected.size)
          : strings.saving.progress(progress.index, progress.total, progress.bytes)}
      </Button>
      {errorText !== null && <p className={styles['error']}>{errorText}</p>}
    </div>
  );
}
