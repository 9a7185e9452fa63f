/** Offers a browser notice for the end of a run. */
import { useState } from 'react';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import { useNotices } from './notices';
import styles from './run-progress.module.css';

export function NoticeOffer() {
  const { isWanted, mayAsk, ask } = useNotices();
  const [isRefused, setIsRefused] = useState(false);
  if (isWanted) return <p className={styles['notice']}>{strings.notices.on}</p>;
  if (isRefused) return <p className={styles['notice']}>{strings.notices.refused}</p>;
  if (!mayAsk) return null;
  return (
    <Button look="quiet" onClick={() => void ask().then((isGranted) => setIsRefused(!isGranted))}>
      {strings.notices.offer}
    </Button>
  );
}
