/**
 * The query that sends a run to the API.
 *
 * It is a query and not a mutation: thanks to the Idempotency-Key it may be repeated until an answer comes, and it
 * continues after a refresh.
 */
import type { UseQueryOptions } from '@tanstack/react-query';
import type { Api } from '../api/client';
import { generate, type Accepted } from '../api/generate';
import { ApiProblem } from '../api/problem';
import type { Refusal, Run } from './run';

export const submitKey = (key: string) => ['submit', key];

export function submitQuery(api: Api, { key, prompt }: Run): UseQueryOptions<Accepted> {
  return {
    queryKey: submitKey(key),
    queryFn: () => generate(api, prompt, key),
    staleTime: Infinity,
  };
}

/** Whether the API refused the run. A 401 is about the sign-in: the run is sent again after the next sign-in. */
export function isRefusal(error: unknown): error is ApiProblem {
  return error instanceof ApiProblem && error.problem.status !== 401;
}

export function toRefusal({ problem, retryAfterSeconds }: ApiProblem): Refusal {
  return { ...problem, retryAt: retryAfterSeconds === null ? null : Date.now() + retryAfterSeconds * 1_000 };
}
