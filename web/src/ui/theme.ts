/**
 * Light, dark, or as the system says. The choice belongs to this browser, not to the person or the tab.
 *
 * The colours themselves are in tokens.css; all that happens here is the attribute that picks between them.
 */
import { useState } from 'react';

const KEY = 'onbrand.theme';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

/** Applies the choice made earlier; called before the first picture of the page, so that it doesn't flash. */
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
      // A browser may refuse storage; the choice then lasts until the next load.
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
