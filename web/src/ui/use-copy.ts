/** Copies something and keeps the outcome: "Copied" for two seconds, or the error. */
import { useCallback, useEffect, useState } from 'react';
import { useAnnounce } from './announcer';
import { strings } from './strings';

const SHOWN_MS = 2_000;

/** `what` identifies the copied thing, for a button that copies different things in turn. */
type Outcome = { what: string; error: unknown };

type Copy = {
  /** Calls `copy` at once, inside the click handler: browsers demand that. */
  start: (what: string, copy: () => Promise<void>) => void;
  /** What was copied within the last two seconds. */
  copied: string | null;
  /** What could not be copied the last time, and the error. */
  failed: Outcome | null;
  reset: () => void;
};

export function useCopy(): Copy {
  const announce = useAnnounce();
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const isCopied = outcome !== null && outcome.error === null;
  useEffect(() => {
    if (!isCopied) return undefined;
    const timer = window.setTimeout(() => setOutcome(null), SHOWN_MS);
    return () => window.clearTimeout(timer);
  }, [isCopied, outcome]);

  const start = useCallback(
    (what: string, copy: () => Promise<void>) => {
      copy().then(
        () => {
          setOutcome({ what, error: null });
          announce(strings.copied);
        },
        (error: unknown) => setOutcome({ what, error }),
      );
    },
    [announce],
  );
  return {
    start,
    copied: isCopied ? outcome.what : null,
    failed: isCopied ? null : outcome,
    reset: () => setOutcome(null),
  };
}
