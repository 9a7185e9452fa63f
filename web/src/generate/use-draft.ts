/**
 * The text in the composer. It outlives a refresh and the sign-in redirect, and belongs to whoever wrote it: the next
 * person to sign in in this tab starts with an empty field.
 */
import { useCallback, useState } from 'react';
import { recall, remember } from '../tab-storage';

const KEY = 'draft';

type Draft = { accountId: string; text: string };

/** What somebody has typed in this tab, before it is known who is signed in. */
export function recallDraft(): Draft | null {
  const stored = recall(KEY);
  if (typeof stored !== 'object' || stored === null) return null;
  const { accountId, text } = stored as Record<string, unknown>;
  return typeof accountId === 'string' && typeof text === 'string' ? { accountId, text } : null;
}

export function useDraft(accountId: string): [string, (text: string) => void] {
  const [draft, setDraft] = useState(() => {
    const stored = recallDraft();
    return stored?.accountId === accountId ? stored.text : '';
  });
  const change = useCallback(
    (text: string) => {
      remember(KEY, { accountId, text } satisfies Draft);
      setDraft(text);
    },
    [accountId],
  );
  return [draft, change];
}
