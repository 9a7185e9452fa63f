/** A progress bar. Not the native element: in dark mode its fill and its track look the same. */
import * as Progress from '@radix-ui/react-progress';
import styles from './progress-bar.module.css';

type ProgressBarProps = {
  label: string;
  /** 0–100, or null while the progress is unknown. */
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
