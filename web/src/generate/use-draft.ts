/** The text in the composer. It outlives a refresh and the sign-in redirect. */
import { useCallback, useState } from 'react';
import { recall, remember } from '../tab-storage';

const KEY = 'draft';

export function recallDraft(): string {
  const stored = recall(KEY);
  return typeof stored === 'string' ? stored : '';
}

export function useDraft(): [string, (text: string) => void] {
  const [draft, setDraft] = useState(recallDraft);
  const change = useCallback((text: string) => {
    remember(KEY, text);
    setDraft(text);
  }, []);
  return [draft, change];
}
