/** The file of a picture, fetched as the person: an <img> can't carry a token. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useEffectEvent, useState } from 'react';
import { useApi } from './api-context';
import { getImage, type Loading } from './get-image';
import { ApiProblem, isTransient } from './problem';

const TRIES = 3;

const pictureKey = (address: string) => ['picture', address];

export function usePicture(address: string, onExpired: () => void) {
  const api = useApi();
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: pictureKey(address),
    queryFn: ({ signal }) => getImage(api, address, { signal }),
    staleTime: Infinity,
    structuralSharing: false,
    retry: (count, reason) => count < TRIES && isTransient(reason),
  });
  const isExpired = error instanceof ApiProblem && error.problem.status === 410;
  const expire = useEffectEvent(onExpired);
  useEffect(() => {
    if (isExpired) expire();
  }, [isExpired]);

  // The bytes came, but the browser can't show them.
  const [broken, setBroken] = useState<Blob | null>(null);
  const isBroken = data !== undefined && data === broken;
  return {
    file: isBroken ? undefined : data,
    isFailed: (error !== null || isBroken) && !isFetching,
    markBroken: () => setBroken(data ?? null),
    retry: () => void refetch(),
  };
}

/** Gets a picture to keep: the one that is on the page, whose bytes are the stored ones, otherwise from the API. */
export function useLoadPicture(): (address: string, loading?: Loading) => Promise<File> {
  const api = useApi();
  const queryClient = useQueryClient();
  return useCallback(
    async (address, loading = {}) => {
      const loaded = queryClient.getQueryData<File>(pictureKey(address));
      if (loaded !== undefined) return loaded;
      const file = await getImage(api, address, loading);
      queryClient.setQueryData(pictureKey(address), file);
      return file;
    },
    [api, queryClient],
  );
}
