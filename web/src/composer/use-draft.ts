/**
 * The text in the composer. It outlives a refresh and the sign-in redirect, and belongs to whoever wrote it: the next
 * person to sign in in this tab starts with an empty field.
 *
 * Kept outside of React's state, so that a key stroke renders the composer and not every run on the page.
 */
import { useState, useSyncExternalStore } from 'react';
import { recall, remember } from '../tab-storage';

const KEY = 'draft';

type Stored = { accountId: string; text: string };

export type Draft = {
  get: () => string;
  set: (text: string) => void;
  subscribe: (listener: () => void) => () => void;
};

/** What somebody has typed in this tab, before it is known who is signed in. */
export function recallDraft(): Stored | null {
  const stored = recall(KEY);
  if (typeof stored !== 'object' || stored === null) return null;
  const { accountId, text } = stored as Record<string, unknown>;
  return typeof accountId === 'string' && typeof text === 'string' ? { accountId, text } : null;
}

/** The person's draft; reading it with `useDraftText` is what renders anew when it changes. */
export function useDraft(accountId: string): Draft {
  const [draft] = useState(() => createDraft(accountId));
  return draft;
}

export function useDraftText(draft: Draft): string {
  return useSyncExternalStore(draft.subscribe, draft.get);
}

function createDraft(accountId: string): Draft {
  const stored = recallDraft();
  const listeners = new Set<() => void>();
  let text = stored?.accountId === accountId ? stored.text : '';
  return {
    get: () => text,
    set: (next) => {
      text = next;
      remember(KEY, { accountId, text } satisfies Stored);
      listeners.forEach((listener) => listener());
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
