/** Copying, with its feedback: "Copied" for two seconds, or why not. */
import { useCallback, useEffect, useState } from 'react';
import { useAnnounce } from './announcer';
import { strings } from './strings';

const SHOWN_MS = 2_000;

/** `what` tells copies apart when one button copies different things in turn. */
type Outcome = { what: string; error: unknown };

type Copy = {
  /** Runs `copy` at once, within the click: browsers ask for that. */
  start: (what: string, copy: () => Promise<void>) => void;
  /** What was copied a moment ago. */
  copied: string | null;
  /** What couldn't be copied the last time, and the error. */
  failed: Outcome | null;
  forget: () => void;
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
    forget: () => setOutcome(null),
  };
}
