/** The facts beside a large picture: its prompt, and how and when it was made. */
import type { Job } from '../api/get-job';
import { durationTexts } from '../api/job-times';
import { CopyText } from '../ui/copy-text';
import { formatDay, formatTime } from '../ui/dates';
import { strings } from '../ui/strings';
import styles from './lightbox.module.css';

export function LightboxDetails({ job, n, titleId }: { job: Job; n: number; titleId: string }) {
  const seed = job.seeds[n - 1];
  return (
    <section className={styles['details']} aria-labelledby={titleId}>
      <h2 id={titleId} className={styles['prompt']} dir="auto">
        {job.prompt}
      </h2>
      <CopyText text={job.prompt} label={strings.run.copyPrompt} />
      <ul className={styles['facts']}>
        {job.pack !== null && <li>{strings.style.live(job.pack.name, job.pack.version)}</li>}
        <li>
          {formatDay(job.created_at)}, {formatTime(job.created_at)}
        </li>
        {durationTexts(job).map((text) => (
          <li key={text}>{text}</li>
        ))}
        {job.expires_at !== null && <li>{strings.run.keptUntil(formatDay(job.expires_at))}</li>}
        {seed !== undefined && <li>{strings.lightbox.seed(seed)}</li>}
        <li>{strings.lightbox.size}</li>
      </ul>
    </section>
  );
}
