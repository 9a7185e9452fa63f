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
import { isRefusal, submitKey, submitQuery, toRefusal } from './submit-query';
import { useCooldown } from './use-cooldown';
import { useJobStream } from './use-job-stream';

/** Two clicks within this time are a double click and start one run. The answer may come between the two clicks. */
const DOUBLE_CLICK_MS = 1_000;

export type Runs = Pick<RunActions, 'start' | 'remove' | 'updateJob' | 'recheckJob'> & {
  /** Newest first. */
  runs: LiveRun[];
  /** A run was started a moment ago, or the API hasn't answered it yet. No other run can be started meanwhile. */
  isStarting: boolean;
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
  const submissions = useQueries({ queries: unanswered.map((run) => submitQuery(api, run)) });
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

  const live = runs.map((run): LiveRun => {
    const { data, error, dataUpdatedAt } = jobs[accepted.indexOf(run)] ?? {};
    const problem = error instanceof ApiProblem ? error.problem : null;
    const submission = submissions[unanswered.indexOf(run)];
    const isRetrying = submission !== undefined && (submission.failureCount > 0 || submission.fetchStatus === 'paused');
    return { run, view: viewOf(run, data ?? null, problem), receivedAt: dataUpdatedAt ?? 0, isRetrying };
  });
  // Only the oldest unfinished job gets a stream, because it is drawn first. A browser opens six connections to a
  // server, and the pictures of all tabs need connections too.
  const oldest = live.findLast(({ run, view }) => run.jobId !== null && view.kind === 'unfinished');
  const updateJob = useCallback((job: Job) => setJob(queryClient, job), [queryClient]);
  useJobStream(oldest?.run.jobId ?? null, updateJob, setStreamedId);

  const { isCoolingDown, begin: beginCooldown } = useCooldown(DOUBLE_CLICK_MS);
  const isStarting = isCoolingDown || unanswered.length > 0;
  const start = useCallback(
    (prompt: string, replaced?: Run) => {
      beginCooldown();
      // A refused run keeps its key. If the server stored the job all the same, this finds that job.
      const key = replaced?.refusal ? replaced.key : crypto.randomUUID();
      queryClient.removeQueries({ queryKey: submitKey(key) });
      dispatch({ type: 'start', key, prompt, pressedAt: Date.now(), replaces: replaced?.key });
    },
    [queryClient, beginCooldown],
  );
  const remove = useCallback((key: string) => dispatch({ type: 'remove', key }), []);
  const recheckJob = useCallback(
    (jobId: string) => void queryClient.invalidateQueries({ queryKey: jobKey(jobId) }),
    [queryClient],
  );
  return { runs: live, isStarting, start, remove, updateJob, recheckJob };
}
