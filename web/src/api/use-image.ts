/** The file of a picture. The page downloads it with the person's token, which an <img> alone can't send. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useEffectEvent, useState } from 'react';
import { useApi } from './api-context';
import { getImage, type DownloadOptions } from './get-image';
import { isExpired, isTransient } from './problem';

const MAX_RETRIES = 3;

const imageKey = (path: string) => ['image', path];

/** Loads the picture at `path`, one of a job's `images`, to show it. */
export function useImage(path: string, onExpired: () => void) {
  const api = useApi();
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: imageKey(path),
    queryFn: ({ signal }) => getImage(api, path, { signal }),
    staleTime: Infinity,
    structuralSharing: false,
    retry: (count, reason) => count < MAX_RETRIES && isTransient(reason),
  });
  const isGone = isExpired(error);
  const reportExpired = useEffectEvent(onExpired);
  useEffect(() => {
    if (isGone) reportExpired();
  }, [isGone]);

  // A file that arrived, but that the browser could not decode.
  const [broken, setBroken] = useState<Blob | null>(null);
  const isBroken = data !== undefined && data === broken;
  return {
    file: isBroken ? undefined : data,
    isFailed: (error !== null || isBroken) && !isFetching,
    markBroken: () => setBroken(data ?? null),
    retry: () => void refetch(),
  };
}

/** Returns a function that gets a picture to save it: from the page if it is loaded there, otherwise from the API. */
export function useLoadImage(): (path: string, options?: DownloadOptions) => Promise<File> {
  const api = useApi();
  const queryClient = useQueryClient();
  return useCallback(
    async (path, options = {}) => {
      const loaded = queryClient.getQueryData<File>(imageKey(path));
      if (loaded !== undefined) return loaded;
      const file = await getImage(api, path, options);
      queryClient.setQueryData(imageKey(path), file);
      return file;
    },
    [api, queryClient],
  );
}
