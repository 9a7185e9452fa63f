/** How calls are repeated: for as long as it takes, with pauses that grow; only the server ends anything. */
import { QueryClient } from '@tanstack/react-query';
import { isTransient } from '../api/problem';

const LONGEST_PAUSE_MS = 10_000;

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (_count, error) => isTransient(error),
        retryDelay: (count) => Math.min(1_000 * 2 ** count, LONGEST_PAUSE_MS),
        refetchOnWindowFocus: false,
      },
    },
  });
}
