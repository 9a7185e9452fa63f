/**
 * The colour theme: light, dark, or the same as the system. The choice belongs to the browser, not to the person or the
 * tab.
 *
 * The colours are in tokens.css. This file only sets the attribute that selects them.
 */
import { useState } from 'react';

const KEY = 'onbrand.theme';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

/** Applies the stored choice. Called before React renders, so that the page doesn't flash in the other theme. */
export function applyStoredTheme(): void {
  apply(storedTheme());
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(storedTheme);
  function choose(next: Theme): void {
    apply(next);
    setTheme(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // The browser refuses storage. The choice then lasts until the page is loaded again.
    }
  }
  return [theme, choose];
}

function apply(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === stored) ?? 'system';
  } catch {
    return 'system';
  }
}
