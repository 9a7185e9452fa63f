/** The query that polls one job, and the cache entry it fills. */
import type { QueryClient, UseQueryOptions } from '@tanstack/react-query';
import type { Api } from '../api/client';
import { getJob, type Job } from '../api/get-job';
import { ApiProblem } from '../api/problem';
import { isFinal, newerJob } from './newer-job';

const POLL_MS = 1_500;
/** The only answers after which asking again is useless. No other error ends a run on the page. */
const FINAL_STATUSES = [401, 403, 404, 410];

export const jobKey = (id: string) => ['job', id];

/** `isStreamed`: the event stream reports this job, so polling is not needed. */
export function jobQuery(api: Api, id: string, isStreamed: boolean): UseQueryOptions<Job> {
  return {
    queryKey: jobKey(id),
    queryFn: ({ signal }) => getJob(api, id, signal),
    structuralSharing: (known, received) => newerJob(known as Job | undefined, received as Job),
    retry: (_count, error) => !(error instanceof ApiProblem && FINAL_STATUSES.includes(error.problem.status)),
    staleTime: ({ state }) => (state.data && isFinal(state.data) ? Infinity : 0),
    // Polling alone would be enough. It pauses while the stream reports.
    refetchInterval: ({ state }) => (isStreamed || isOver(state.data, state.error) ? false : POLL_MS),
    refetchIntervalInBackground: true,
  };
}

/** Puts a state of a job into the cache. */
export function setJob(queryClient: QueryClient, job: Job): void {
  // The answer to a poll that is under way would be older than this state.
  void queryClient.cancelQueries({ queryKey: jobKey(job.id) }, { silent: true, revert: false });
  queryClient.setQueryData(jobKey(job.id), job);
}

function isOver(job: Job | undefined, error: Error | null): boolean {
  return (job !== undefined && isFinal(job)) || error !== null;
}
