/** Says that the connection is lost. The service goes on drawing without it, so this is no error. */
import { useQueryClient, type Query } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useIsReachable } from '../api/api-context';
import { isTransient } from '../api/problem';
import { useIsOnline } from '../api/use-is-online';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './connection-banner.module.css';

export function ConnectionBanner() {
  const queryClient = useQueryClient();
  const isReachable = useIsReachable();
  const isOnline = useIsOnline();
  const announce = useAnnounce();
  const text = !isOnline ? strings.connection.offline : isReachable ? '' : strings.connection.unreachable;
  useEffect(() => {
    if (text !== '') announce(text);
  }, [text, announce]);
  if (text === '') return null;

  async function retryNow(): Promise<void> {
    const isWaiting = { predicate: ({ state }: Query) => isTransient(state.fetchFailureReason) };
    const keys = queryClient.getQueryCache().findAll(isWaiting).map((query) => query.queryKey);
    // A query that waits for its next try ignores a refetch, so it is cancelled first.
    await queryClient.cancelQueries(isWaiting, { silent: true });
    await Promise.all(keys.map((queryKey) => queryClient.refetchQueries({ queryKey, exact: true })));
  }

  return (
    <aside className={styles['banner']} aria-label={strings.connection.label}>
      <span>{text}</span>
      {isOnline && (
        <Button look="quiet" onClick={() => void retryNow()}>
          {strings.connection.retry}
        </Button>
      )}
    </aside>
  );
}
