/** Says, before a prompt is sent or beside its pictures, that the model doesn't know what it names, and what to try. */
import { useMemo } from 'react';
import type { Known } from '../api/get-style-limits';
import { strings } from '../ui/strings';
import { checkThings } from './check-things';
import styles from './limits.module.css';

type LimitsNoteProps = {
  known: Known;
  prompt: string;
  /** Prompts that the style draws well, to try if nothing known is near. */
  examples: string[];
  /** Puts a thing into the composer. It sends nothing. */
  onTry: (text: string) => void;
};

export function LimitsNote({ known, prompt, examples, onTry }: LimitsNoteProps) {
  const { named, nearest } = useMemo(() => checkThings(known, prompt), [known, prompt]);
  const isTooMany = known.most_things !== null && named.length > known.most_things;
  if (prompt.trim() === '' || (named.length > 0 && !isTooMany)) return null;
  const near = nearest.length > 0 ? nearest : examples;
  const suggestions = isTooMany ? named : near;
  return (
    <div className={styles['note']}>
      <p>{isTooMany ? strings.limits.tooMany(known.most_things ?? 0) : strings.limits.unknown}</p>
      {suggestions.length > 0 && (
        <>
          <p>{strings.limits.instead}</p>
          <ul className={styles['things']}>
            {suggestions.map((thing) => (
              <li key={thing}>
                <button type="button" className={styles['thing']} onClick={() => onTry(thing)}>
                  {thing}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

/** On the page before the first run: how much the model knows and, opened, what. */
export function LimitsBefore({ known }: { known: Known }) {
  return (
    <details className={styles['before']}>
      <summary>{strings.limits.before(known.things.length, known.most_things)}</summary>
      <p>{known.things.map(({ name }) => name).join(', ')}</p>
    </details>
  );
}
