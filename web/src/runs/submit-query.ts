/**
 * The query that sends a run to the API.
 *
 * It is a query and not a mutation: thanks to the Idempotency-Key it may be repeated until an answer comes, and it
 * continues after a refresh.
 */
import type { UseQueryOptions } from '@tanstack/react-query';
import { cancelJob } from '../api/cancel-job';
import type { Api } from '../api/client';
import { generate, type Accepted } from '../api/generate';
import { ApiProblem, isTransient } from '../api/problem';
import type { Refusal, Run } from './run';

export const submitKey = (key: string) => ['submit', key];

/** `isTurn`: the runs that were pressed earlier have been answered. */
export function submitQuery(api: Api, { key, prompt }: Run, isTurn: boolean): UseQueryOptions<Accepted> {
  return {
    enabled: isTurn,
    queryKey: submitKey(key),
    queryFn: () => generate(api, prompt, key),
    staleTime: Infinity,
  };
}

/**
 * Cancels the job of a run that was taken back, if there may be one: a request without an answer may have arrived.
 * The same key finds that job.
 */
export function withdrawQuery(api: Api, { key, prompt }: Run) {
  return {
    queryKey: ['withdraw', key],
    queryFn: async () => cancelJob(api, (await generate(api, prompt, key)).job_id),
    retry: (_count: number, error: Error) => isTransient(error),
  };
}

/** Whether the API refused the run. A 401 is about the sign-in: the run is sent again after the next sign-in. */
export function isRefusal(error: unknown): error is ApiProblem {
  return error instanceof ApiProblem && error.problem.status !== 401;
}

export function toRefusal({ problem, retryAfterSeconds }: ApiProblem): Refusal {
  return { ...problem, retryAt: retryAfterSeconds === null ? null : Date.now() + retryAfterSeconds * 1_000 };
}
