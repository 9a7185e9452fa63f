/** The page's one polite live region. Whoever has something to say calls `announce`; the last text wins. */
import { createContext, use, useState, type ReactNode } from 'react';
import styles from './hidden.module.css';

const AnnounceContext = createContext<(text: string) => void>(() => undefined);

export function Announcer({ children }: { children: ReactNode }) {
  const [text, setText] = useState('');
  return (
    <AnnounceContext value={setText}>
      {children}
      <p role="status" className={styles['hidden']}>
        {text}
      </p>
    </AnnounceContext>
  );
}

export function useAnnounce(): (text: string) => void {
  return use(AnnounceContext);
}
