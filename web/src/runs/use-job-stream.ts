/** Watches one job through its event stream while the page is visible. A hidden page polls and frees the connection. */
import { useEffect, useSyncExternalStore } from 'react';
import { useApi } from '../api/api-context';
import type { Job } from '../api/get-job';
import { watchJob } from '../api/watch-job';

/** `onStreaming` gets the id of the job that the stream reports, or null while there is no stream. */
export function useJobStream(
  jobId: string | null,
  onJob: (job: Job) => void,
  onStreaming: (jobId: string | null) => void,
): void {
  const api = useApi();
  const isVisible = useSyncExternalStore(subscribeToVisibility, () => document.visibilityState === 'visible');
  useEffect(() => {
    if (jobId === null || !isVisible) return undefined;
    const stop = watchJob(api, jobId, {
      onJob: (job) => {
        onJob(job);
        onStreaming(jobId);
      },
      onLost: () => onStreaming(null),
    });
    return () => {
      stop();
      onStreaming(null);
    };
  }, [api, jobId, isVisible, onJob, onStreaming]);
}

function subscribeToVisibility(listener: () => void): () => void {
  document.addEventListener('visibilitychange', listener);
  return () => document.removeEventListener('visibilitychange', listener);
}
