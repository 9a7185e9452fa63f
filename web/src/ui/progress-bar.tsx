/** Progress drawn by hand: the native element loses the difference between fill and track in dark mode. */
import styles from './progress-bar.module.css';

type ProgressBarProps = {
  label: string;
  /** 0–100, or null while nothing can be said. */
  percent: number | null;
  valueText: string;
};

export function ProgressBar({ label, percent, valueText }: ProgressBarProps) {
  return (
    <div
      className={styles['track']}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent ?? undefined}
      aria-valuetext={valueText}
    >
      <div className={styles['fill']} style={{ transform: `scaleX(${(percent ?? 0) / 100})` }} />
    </div>
  );
}
