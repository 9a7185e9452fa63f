/** Below the composer: what the model doesn't know of the prompt that is being written. Typing renders only this. */
import type { Known } from '../api/get-style-limits';
import { useDraftText, type Draft } from '../composer/use-draft';
import { LimitsNote } from '../limits/limits-note';
import styles from './generate-page.module.css';

type DraftLimitsProps = { draft: Draft; known: Known; onTry: (text: string) => void };

export function DraftLimits({ draft, known, onTry }: DraftLimitsProps) {
  return (
    <div className={styles['limits']} role="note">
      <LimitsNote known={known} prompt={useDraftText(draft)} onTry={onTry} />
    </div>
  );
}
