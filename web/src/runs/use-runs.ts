/** The runs of this tab, alive: sent, followed, remembered. All of the page's talk about jobs goes through here. */
import { useQueries, useQueryClient, type QueryClient, type UseQueryOptions } from '@tanstack/react-query';
import { useCallback, useEffect, useReducer, useState } from 'react';
import { useApi } from '../api/api-context';
import type { Api } from '../api/client';
import { generate, type Accepted } from '../api/generate';
import { getJob, type Job } from '../api/get-job';
import { ApiProblem } from '../api/problem';
import { recall, remember } from '../tab-storage';
import { advance, isFinal } from './newer-job';
import { viewOf, type RunView } from './run-view';
import { isUnanswered, parseRuns, reduceRuns, type Refusal, type Run } from './runs-reducer';
import { useJobStream } from './use-job-stream';

const POLL_MS = 1_500;
/** Presses closer together than this are one press: the answer may come between the clicks of a double click. */
const ONE_PRESS_MS = 1_000;

export type LiveRun = { run: Run; view: RunView; receivedAt: number; isRetrying: boolean };

export type Runs = {
  runs: LiveRun[];
  /** Whether a press is too fresh, or not answered yet, for another: buttons that press are unavailable then. */
  isBusy: boolean;
  /** Starts a run; `replaced` is one that ended without pictures and makes room for it. */
  press: (prompt: string, replaced?: Run) => void;
  remove: (key: string) => void;
  /** What the server said about a job outside the usual ways, such as the answer to a cancel. */
  learn: (job: Job) => void;
  /** Asks about a job again, because its pictures turned out to be gone. */
  recheck: (jobId: string) => void;
};

export function useRuns(accountId: string): Runs {
  const api = useApi();
  const queryClient = useQueryClient();
  // Per account, so that the next person in this tab neither sees nor repeats them.
  const storageKey = `runs.${accountId}`;
  const [runs, dispatch] = useReducer(reduceRuns, storageKey, (key) => parseRuns(recall(key)));
  useEffect(() => remember(storageKey, runs), [storageKey, runs]);

  const unanswered = runs.filter(isUnanswered);
  const submissions = useQueries({ queries: unanswered.map((run) => submission(api, run)) });
  useEffect(() => {
    unanswered.forEach(({ key }, index) => {
      const { data, error } = submissions[index] ?? {};
      if (data) dispatch({ type: 'accept', key, jobId: data.job_id });
      // A 401 is about the sign-in, not the run: it is sent again when the person is back.
      else if (isRefusal(error)) dispatch({ type: 'refuse', key, refusal: refusalOf(error) });
    });
  });

  const [streamedId, setStreamedId] = useState<string | null>(null);
  const accepted = runs.filter((run) => run.jobId !== null);
  const jobs = useQueries({ queries: accepted.map(({ jobId }) => following(api, jobId ?? '', jobId === streamedId)) });

  const live = runs.map((run): LiveRun => {
    const { data, error, dataUpdatedAt } = jobs[accepted.indexOf(run)] ?? {};
    const problem = error instanceof ApiProblem ? error.problem : null;
    const sending = submissions[unanswered.indexOf(run)];
    const isRetrying = sending !== undefined && (sending.failureCount > 0 || sending.fetchStatus === 'paused');
    return { run, view: viewOf(run, data ?? null, problem), receivedAt: dataUpdatedAt ?? 0, isRetrying };
  });
  // The oldest is the one being drawn. One stream at a time: a browser opens six connections to a server, and the
  // pictures of all tabs need them too.
  const drawn = live.findLast(({ run, view }) => run.jobId !== null && view.kind === 'unfinished');
  const learn = useCallback((job: Job) => tell(queryClient, job), [queryClient]);
  useJobStream(drawn?.run.jobId ?? null, learn, setStreamedId);

  const [isPressed, setIsPressed] = useState(false);
  const isBusy = isPressed || unanswered.length > 0;
  const press = useCallback(
    (prompt: string, replaced?: Run) => {
      setIsPressed(true);
      window.setTimeout(() => setIsPressed(false), ONE_PRESS_MS);
      // A refused request keeps its key: should the server have stored it after all, this finds the same job.
      const key = replaced?.refusal ? replaced.key : crypto.randomUUID();
      queryClient.removeQueries({ queryKey: submissionKey(key) });
      dispatch({ type: 'press', key, prompt, at: Date.now(), replaces: replaced?.key });
    },
    [queryClient],
  );
  const remove = useCallback((key: string) => dispatch({ type: 'remove', key }), []);
  const recheck = useCallback(
    (jobId: string) => void queryClient.invalidateQueries({ queryKey: jobKey(jobId) }),
    [queryClient],
  );
  return { runs: live, isBusy, press, remove, learn, recheck };
}

/**
 * Sending a run, as a query rather than a mutation: thanks to its key it may be repeated until an answer comes, it is
 * shared by whoever asks for it, and it goes on where it was after a refresh.
 */
function submission(api: Api, { key, prompt }: Run): UseQueryOptions<Accepted> {
  return {
    queryKey: submissionKey(key),
    queryFn: () => generate(api, prompt, key),
    staleTime: Infinity,
  };
}

function isRefusal(error: unknown): error is ApiProblem {
  return error instanceof ApiProblem && error.problem.status !== 401;
}

function refusalOf({ problem, retryAfterSeconds }: ApiProblem): Refusal {
  return { ...problem, retryAt: retryAfterSeconds === null ? null : Date.now() + retryAfterSeconds * 1_000 };
}

const submissionKey = (key: string) => ['submission', key];
const jobKey = (id: string) => ['job', id];

function following(api: Api, id: string, isStreamed: boolean): UseQueryOptions<Job> {
  return {
    queryKey: jobKey(id),
    queryFn: ({ signal }) => getJob(api, id, signal),
    structuralSharing: (known, news) => advance(known as Job | undefined, news as Job),
    // Only these four answers say that asking again is useless; nothing else may end a run on the page.
    retry: (_count, error) => !(error instanceof ApiProblem && [401, 403, 404, 410].includes(error.problem.status)),
    staleTime: ({ state }) => (state.data && isFinal(state.data) ? Infinity : 0),
    // Polling alone is enough; it rests while the stream speaks.
    refetchInterval: ({ state }) => (isStreamed || isOver(state.data, state.error) ? false : POLL_MS),
    refetchIntervalInBackground: true,
  };
}

function isOver(job: Job | undefined, error: Error | null): boolean {
  return (job !== undefined && isFinal(job)) || error !== null;
}

function tell(queryClient: QueryClient, job: Job): void {
  // A poll on its way would come back with older news.
  void queryClient.cancelQueries({ queryKey: jobKey(job.id) }, { silent: true, revert: false });
  queryClient.setQueryData(jobKey(job.id), job);
}
