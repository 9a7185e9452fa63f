/** Says when the connection is gone. Runs go on without it, so this is no error, only news. */
import { onlineManager, useQueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { useIsReachable } from '../api/api-context';
import { isTransient } from '../api/problem';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './connection-banner.module.css';

export function ConnectionBanner() {
  const queryClient = useQueryClient();
  const isReachable = useIsReachable();
  const isOnline = useSyncExternalStore(
    (listener) => onlineManager.subscribe(listener),
    () => onlineManager.isOnline(),
  );
  if (isOnline && isReachable) return null;

  async function retryNow(): Promise<void> {
    const waiting = { predicate: ({ state }: { state: { fetchFailureReason: unknown } }) => isTransient(state.fetchFailureReason) };
    const keys = queryClient.getQueryCache().findAll(waiting).map((query) => query.queryKey);
    // A query that is waiting for its next try would ignore a refetch.
    await queryClient.cancelQueries(waiting, { silent: true });
    await Promise.all(keys.map((queryKey) => queryClient.refetchQueries({ queryKey, exact: true })));
  }

  return (
    <div className={styles['banner']} role="alert">
      <span>{isOnline ? strings.connection.unreachable : strings.connection.offline}</span>
      {isOnline && (
        <Button look="quiet" onClick={() => void retryNow()}>
          {strings.connection.retry}
        </Button>
      )}
    </div>
  );
}
