/** The page's one polite live region. Whoever has something to say calls `announce`; the last text wins. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import { createContext, use, useCallback, useState, type ReactNode } from 'react';

const AnnounceContext = createContext<(text: string) => void>(() => undefined);

export function Announcer({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState({ text: '', count: 0 });
  const announce = useCallback((text: string) => setSaid(({ count }) => ({ text, count: count + 1 })), []);
  return (
    <AnnounceContext value={announce}>
      {children}
      <VisuallyHidden role="status">
        {said.text}
        {/* A text that is said twice must change, or it is heard once. */}
        {said.count % 2 === 0 ? '' : '\u00a0'}
      </VisuallyHidden>
    </AnnounceContext>
  );
}

export function useAnnounce(): (text: string) => void {
  return use(AnnounceContext);
}
