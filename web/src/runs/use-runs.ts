/** The runs of this tab: sends them, watches their jobs, and stores them for a refresh. */
import { useQueries, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useReducer, useRef, useState } from 'react';
import { useApi } from '../api/api-context';
import type { Job } from '../api/get-job';
import { ApiProblem } from '../api/problem';
import { jobKey, jobQuery, setJob } from './job-query';
import { loadRuns, saveRuns } from './kept-runs';
import { isUnanswered, type Run } from './run';
import type { RunActions } from './run-actions';
import { viewOf, type LiveRun } from './run-view';
import { runsReducer } from './runs-reducer';
import { isRefusal, submitKey, submitQuery, toRefusal, withdrawQuery } from './submit-query';
import { useBriefly } from './use-briefly';
import { useJobStream } from './use-job-stream';

/** Two presses for the same prompt within this time are one. The answer may come between the two. */
const DOUBLE_PRESS_MS = 1_000;

export type Runs = Pick<RunActions, 'start' | 'takeBack' | 'remove' | 'markShown' | 'updateJob' | 'recheckJob'> & {
  /** Newest first. */
  runs: LiveRun[];
  /** The prompt of the run that was started a moment ago, otherwise null. */
  justStarted: string | null;
};

export function useRuns(accountId: string): Runs {
  const api = useApi();
  const queryClient = useQueryClient();
  const [runs, dispatch] = useReducer(runsReducer, accountId, loadRuns);
  const savedRuns = useRef(runs);
  useEffect(() => {
    saveRuns(accountId, savedRuns.current, runs);
    savedRuns.current = runs;
  }, [accountId, runs]);

  const unanswered = runs.filter(isUnanswered);
  // One at a time, in the order of the presses. So the service has them in that order, too.
  const next = unanswered.at(-1);
  const submissions = useQueries({ queries: unanswered.map((run) => submitQuery(api, run, run === next)) });
  useEffect(() => {
    unanswered.forEach(({ key }, index) => {
      const { data, error } = submissions[index] ?? {};
      if (data) dispatch({ type: 'accept', key, jobId: data.job_id });
      else if (isRefusal(error)) dispatch({ type: 'refuse', key, refusal: toRefusal(error) });
    });
  });

  const [streamedId, setStreamedId] = useState<string | null>(null);
  const accepted = runs.filter((run) => run.jobId !== null);
  const jobs = useQueries({ queries: accepted.map(({ jobId }) => jobQuery(api, jobId ?? '', jobId === streamedId)) });

  const sent = submissions.at(-1);
  const [shown, setShown] = useState<ReadonlySet<string>>(new Set());
  const markShown = useCallback((key: string) => setShown((before) => new Set([...before, key])), []);
  const isWaitingForNetwork = sent !== undefined && (sent.failureCount > 0 || sent.fetchStatus === 'paused');
  const live = runs.map((run): LiveRun => {
    const { data, error, dataUpdatedAt } = jobs[accepted.indexOf(run)] ?? {};
    const problem = error instanceof ApiProblem ? error.problem : null;
    const view = viewOf(run, data ?? null, problem, shown.has(run.key));
    const isRetrying = isWaitingForNetwork && isUnanswered(run);
    return { run, view, receivedAt: dataUpdatedAt ?? 0, isRetrying };
  });
  // Only the oldest unfinished job gets a stream, because it is drawn first. A browser opens six connections to a
  // server, and the pictures of all tabs need connections too.
  const oldest = live.findLast(({ run, view }) => run.jobId !== null && view.kind === 'unfinished');
  const updateJob = useCallback((job: Job) => setJob(queryClient, job), [queryClient]);
  useJobStream(oldest?.run.jobId ?? null, updateJob, setStreamedId);

  const { value: justStarted, hold: holdStarted } = useBriefly<string>(DOUBLE_PRESS_MS);
  const start = useCallback(
    (prompt: string, replaced?: Run) => {
      holdStarted(prompt);
      // A refused run keeps its key. If the server stored the job all the same, this finds that job.
      const key = replaced?.refusal ? replaced.key : crypto.randomUUID();
      queryClient.removeQueries({ queryKey: submitKey(key) });
      dispatch({ type: 'start', key, prompt, pressedAt: Date.now(), replaces: replaced?.key });
    },
    [queryClient, holdStarted],
  );
  const takeBack = useCallback(
    (run: Run) => {
      const sending = queryClient.getQueryState(submitKey(run.key));
      // Sent or not is open only if the request has left at least once.
      const hasLeft = sending !== undefined && (sending.fetchStatus === 'fetching' || sending.fetchFailureCount > 0);
      dispatch({ type: 'take back', key: run.key });
      if (hasLeft) void queryClient.query(withdrawQuery(api, run)).catch(() => undefined);
    },
    [api, queryClient],
  );
  const remove = useCallback((key: string) => dispatch({ type: 'remove', key }), []);
  const recheckJob = useCallback(
    (jobId: string) => void queryClient.invalidateQueries({ queryKey: jobKey(jobId) }),
    [queryClient],
  );
  return { runs: live, justStarted, start, takeBack, remove, markShown, updateJob, recheckJob };
}
