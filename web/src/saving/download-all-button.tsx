/** The button that saves a run's pictures, all or the ticked ones, as one zip. */
import { useEffect } from 'react';
import type { Job } from '../api/get-job';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './saving.module.css';
import { useDownloadAll } from './use-download-all';

type RunDownloadsProps = {
  job: Job;
  /** The numbers (1–4) of the pictures that are ticked; none means all. */
  ticked: ReadonlySet<number>;
  onExpired: () => void;
  onKept: () => void;
};

export function RunDownloads({ job, ticked, onExpired, onKept }: RunDownloadsProps) {
  const { start, progress, trouble } = useDownloadAll(job, onKept, onExpired);
  const announce = useAnnounce();
  useEffect(() => {
    if (trouble !== null) announce(trouble);
  }, [trouble, announce]);

  const all = job.images.map((_address, index) => index + 1);
  const numbers = ticked.size === 0 ? all : all.filter((n) => ticked.has(n));
  return (
    <div className={styles['downloads']}>
      <Button isUnavailable={progress !== null} onClick={() => start(numbers)}>
        {progress === null
          ? strings.saving.all(ticked.size)
          : strings.saving.progress(progress.place, progress.total, progress.bytes)}
      </Button>
      {trouble !== null && <p className={styles['trouble']}>{trouble}</p>}
    </div>
  );
}
