/** Below the composer: what the model doesn't know of the prompt that is being written. Typing renders only this. */
import type { Known } from '../api/get-style-limits';
import { useDraftText, type Draft } from '../composer/use-draft';
import { LimitsNote } from '../limits/limits-note';
import styles from './generate-page.module.css';

type DraftLimitsProps = {
  draft: Draft;
  known: Known;
  examples: string[];
  /** The prompt of the newest run, beside which the same is said. */
  saidAbout: string | undefined;
  onTry: (text: string) => void;
};

export function DraftLimits({ draft, known, examples, saidAbout, onTry }: DraftLimitsProps) {
  const text = useDraftText(draft);
  if (text.trim() === saidAbout) return null;
  return (
    <div className={styles['limits']} role="note">
      <LimitsNote known={known} prompt={text} examples={examples} onTry={onTry} />
    </div>
  );
}
