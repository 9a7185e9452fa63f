/** The page's one live region for screen readers (polite). A call of `announce` replaces the text before it. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import { createContext, use, useCallback, useState, type ReactNode } from 'react';

const AnnounceContext = createContext<(text: string) => void>(() => undefined);

export function Announcer({ children }: { children: ReactNode }) {
  const [message, setMessage] = useState({ text: '', count: 0 });
  const announce = useCallback((text: string) => setMessage(({ count }) => ({ text, count: count + 1 })), []);
  return (
    <AnnounceContext value={announce}>
      {children}
      <VisuallyHidden role="status">
        {message.text}
        {/* A screen reader reads a text again only if the text has changed. */}
        {message.count % 2 === 0 ? '' : '\u00a0'}
      </VisuallyHidden>
    </AnnounceContext>
  );
}

export function useAnnounce(): (text: string) => void {
  return use(AnnounceContext);
}
