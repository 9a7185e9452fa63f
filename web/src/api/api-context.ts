/** Gives components the API client of the signed-in person. */
import { createContext, use, useSyncExternalStore } from 'react';
import type { Api } from './client';

export const ApiContext = createContext<Api | null>(null);

export function useApi(): Api {
  const api = use(ApiContext);
  if (api === null) throw new Error('useApi needs an ApiContext around it');
  return api;
}

/** Whether the server answered the latest call. */
export function useIsReachable(): boolean {
  const { connection } = useApi();
  return useSyncExternalStore(connection.subscribe, connection.isReachable);
}
