/**
 * The files of a picture: the PNG, and the smaller rendition that its tile shows. The page downloads them with the
 * person's token, which an <img> alone can't send.
 */
import { skipToken, useQueries, useQuery, useQueryClient, type QueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useEffectEvent, useState } from 'react';
import { useApi } from './api-context';
import type { Api } from './client';
import { getImage, type DownloadOptions } from './get-image';
import { isExpired, isTransient } from './problem';

const MAX_RETRIES = 3;

const imageKey = (path: string) => ['image', path];
const tileKey = (path: string) => ['tile', path];
const arrivalKey = (path: string) => ['arrival', path];

/** How much of a tile's picture has arrived. The size is null until the API has said it. */
type Arrival = { bytes: number; size: number | null };

/** Loads the PNG at `path`, one of a job's `images`, to show it large. */
export function useImage(path: string, onExpired: () => void) {
  const api = useApi();
  return usePicture(imageKey(path), (signal) => getImage(api, path, { signal }), onExpired);
}

/** Loads the rendition of the picture at `path` to show it in a tile. An older job has none; its tile gets the PNG. */
export function useTile(path: string, onExpired: () => void) {
  const api = useApi();
  const queryClient = useQueryClient();
  return usePicture(tileKey(path), (signal) => getTile(api, queryClient, path, signal), onExpired);
}

/** The PNG at `path` if the page has it already. Meanwhile the page keeps it. */
export function useLoadedImage(path: string): File | undefined {
  return useQuery<File>({ queryKey: imageKey(path), queryFn: skipToken, structuralSharing: false }).data;
}

/** How many bytes of these tiles have arrived, and of how many; null while the API hasn't said the size of each. */
export function useArrival(paths: string[]): { bytes: number; size: number | null } {
  const found = useQueries({ queries: paths.map((path) => ({ queryKey: arrivalKey(path), queryFn: skipToken })) });
  const arrivals = found.map(({ data }) => data as Arrival | undefined);
  const sizes = arrivals.map((arrival) => arrival?.size ?? null);
  return {
    bytes: arrivals.reduce((sum, arrival) => sum + (arrival?.bytes ?? 0), 0),
    size: sizes.reduce<number | null>((sum, size) => (sum === null || size === null ? null : sum + size), 0),
  };
}

/** Returns a function that gets a PNG to save it: from the page if it is loaded there, otherwise from the API. */
export function useLoadImage(): (path: string, options?: DownloadOptions) => Promise<File> {
  const api = useApi();
  const queryClient = useQueryClient();
  return useCallback(
    async (path, options) => {
      const loaded = queryClient.getQueryData<File>(imageKey(path));
      if (loaded !== undefined) return loaded;
      if (options?.onBytes === undefined) {
        // Whoever else loads this picture at the moment loads it for both.
        return queryClient.query({
          queryKey: imageKey(path),
          queryFn: ({ signal }) => getImage(api, path, { ...options, signal }),
          staleTime: Infinity,
          structuralSharing: false,
          retry: false,
          networkMode: 'always',
        });
      }
      const file = await getImage(api, path, options);
      queryClient.setQueryData(imageKey(path), file);
      return file;
    },
    [api, queryClient],
  );
}

function usePicture(queryKey: string[], load: (signal: AbortSignal) => Promise<File>, onExpired: () => void) {
  const { data, error, refetch, isFetching } = useQuery({
    queryKey,
    queryFn: ({ signal }) => load(signal),
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

async function getTile(api: Api, queryClient: QueryClient, path: string, signal: AbortSignal): Promise<File> {
  let arrival: Arrival = { bytes: 0, size: null };
  const tell = (change: Partial<Arrival>) => {
    arrival = { ...arrival, ...change };
    queryClient.setQueryData(arrivalKey(path), arrival);
  };
  tell({});
  const file = await getImage(api, `${path}?size=512`, {
    signal,
    onSize: (size) => tell({ size }),
    onBytes: (count) => tell({ bytes: arrival.bytes + count }),
  });
  if (file.type === 'image/png') queryClient.setQueryData(imageKey(path), file);
  return file;
}
