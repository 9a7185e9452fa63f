/**
 * The draft is the text in the composer. It survives a refresh and the sign-in redirect. It belongs to the person who
 * wrote it: the next person who signs in in this tab starts with an empty field.
 *
 * It is not React state, so that typing renders only the composer and not every run on the page.
 */
import { useState, useSyncExternalStore } from 'react';
import { loadFromTab, saveToTab } from '../tab-storage';

const KEY = 'draft';

type StoredDraft = { accountId: string; text: string };

export type Draft = {
  get: () => string;
  set: (text: string) => void;
  subscribe: (listener: () => void) => () => void;
};

/** The stored draft, for the time when the page doesn't know yet who is signed in. */
export function loadDraft(): StoredDraft | null {
  const stored = loadFromTab(KEY);
  if (typeof stored !== 'object' || stored === null) return null;
  const { accountId, text } = stored as Record<string, unknown>;
  return typeof accountId === 'string' && typeof text === 'string' ? { accountId, text } : null;
}

/** The person's draft. It doesn't render the component when it changes; `useDraftText` does. */
export function useDraft(accountId: string): Draft {
  const [draft] = useState(() => createDraft(accountId));
  return draft;
}

export function useDraftText(draft: Draft): string {
  return useSyncExternalStore(draft.subscribe, draft.get);
}

function createDraft(accountId: string): Draft {
  const stored = loadDraft();
  const listeners = new Set<() => void>();
  let text = stored?.accountId === accountId ? stored.text : '';
  return {
    get: () => text,
    set: (next) => {
      text = next;
      saveToTab(KEY, { accountId, text } satisfies StoredDraft);
      listeners.forEach((listener) => listener());
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
