/** Progress as a bar. Not the native element, which loses the difference between fill and track in dark mode. */
import * as Progress from '@radix-ui/react-progress';
import styles from './progress-bar.module.css';

type ProgressBarProps = {
  label: string;
  /** 0–100, or null while nothing can be said. */
  percent: number | null;
  valueText: string;
};

export function ProgressBar({ label, percent, valueText }: ProgressBarProps) {
  const width = percent === null ? undefined : { transform: `scaleX(${percent / 100})` };
  return (
    <Progress.Root className={styles['track']} value={percent} aria-label={label} aria-valuetext={valueText}>
      <Progress.Indicator className={styles['fill']} style={width} />
    </Progress.Root>
  );
}
