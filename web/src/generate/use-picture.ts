/** The bytes of a picture, fetched as the person: an <img> can't carry a token. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useApi } from '../api/api-context';
import { getImage } from '../api/get-image';
import { ApiProblem, isTransient } from '../api/problem';

const TRIES = 3;

export function usePicture(address: string, onExpired: () => void) {
  const api = useApi();
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ['picture', address],
    queryFn: ({ signal }) => getImage(api, address, signal),
    staleTime: Infinity,
    structuralSharing: false,
    retry: (count, reason) => count < TRIES && isTransient(reason),
  });
  const isExpired = error instanceof ApiProblem && error.problem.status === 410;
  useEffect(() => {
    if (isExpired) onExpired();
  }, [isExpired, onExpired]);

  // The bytes came, but the browser can't show them.
  const [broken, setBroken] = useState<Blob | null>(null);
  const isBroken = data !== undefined && data === broken;
  return {
    blob: isBroken ? undefined : data,
    isFailed: (error !== null || isBroken) && !isFetching,
    markBroken: () => setBroken(data ?? null),
    retry: () => void refetch(),
  };
}
