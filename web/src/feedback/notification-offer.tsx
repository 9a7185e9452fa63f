/** Offers a browser notification for the end of a run, and lets the person turn notifications off. */
import { useState } from 'react';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './notification-offer.module.css';
import { useNotifications } from './notifications';

export function NotificationOffer({ accountId }: { accountId: string }) {
  const { isWanted, canAsk, ask, turnOff } = useNotifications(accountId);
  const [isRefused, setIsRefused] = useState(false);
  const text = strings.notifications;
  if (isWanted) {
    return (
      <>
        <p className={styles['message']}>{text.on}</p>
        <Button look="quiet" onClick={turnOff}>
          {text.turnOff}
        </Button>
      </>
    );
  }
  if (isRefused) return <p className={styles['message']}>{text.refused}</p>;
  if (!canAsk) return null;
  return (
    <Button look="quiet" onClick={() => void ask().then((permission) => setIsRefused(permission === 'denied'))}>
      {text.offer}
    </Button>
  );
}
