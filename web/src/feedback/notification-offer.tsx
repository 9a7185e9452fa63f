/** Offers a browser notice for the end of a run, and takes the offer back. */
import { useState } from 'react';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import { useNotices } from './notifications';
import styles from '../runs/run-progress.module.css';

export function NoticeOffer({ accountId }: { accountId: string }) {
  const { isWanted, mayAsk, ask, turnOff } = useNotices(accountId);
  const [isRefused, setIsRefused] = useState(false);
  if (isWanted) {
    return (
      <>
        <p className={styles['notice']}>{strings.notices.on}</p>
        <Button look="quiet" onClick={turnOff}>
          {strings.notices.turnOff}
        </Button>
      </>
    );
  }
  if (isRefused) return <p className={styles['notice']}>{strings.notices.refused}</p>;
  if (!mayAsk) return null;
  return (
    <Button look="quiet" onClick={() => void ask().then((permission) => setIsRefused(permission === 'denied'))}>
      {strings.notices.offer}
    </Button>
  );
}
