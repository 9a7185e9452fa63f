/** Repeats calls until the server answers, with growing pauses. Only an answer of the server ends a call. */
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
