/**
 * When to ask whether a run was useful: after somebody kept a picture for the first time, or after their third run.
 *
 * The server decides whether this person may be asked at all (once in 14 days, in one tab only). Which run holds the
 * question is remembered by the tab, so that a refresh doesn't lose it.
 */
import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useState } from 'react';
import { useApi } from '../api/api-context';
import { askQuestion, noteSaved } from '../api/usefulness';
import { recall, remember } from '../tab-storage';
import type { LiveRun } from '../runs/use-runs';

const RUNS_BEFORE_ASKING = 3;
/** A call that is made once while the page is open, and whose failure is no reason to insist. */
const ONCE = { staleTime: Infinity, gcTime: Infinity, retry: false };

export type Question = {
  /** The job whose run holds the question, if any. */
  jobId: string | null;
  /** A picture of this job was saved or copied. */
  onKept: (jobId: string) => void;
  /** It was answered: a refresh doesn't ask again, though a line of words may still follow. */
  onAnswered: () => void;
  close: () => void;
};

export function useQuestion(accountId: string, runs: LiveRun[]): Question {
  const api = useApi();
  const queryClient = useQueryClient();
  const storageKey = `question.${accountId}`;
  const [jobId, setJobId] = useState(() => {
    const stored = recall(storageKey);
    return typeof stored === 'string' ? stored : null;
  });
  const hold = useCallback(
    (id: string | null) => {
      remember(storageKey, id);
      setJobId(id);
    },
    [storageKey],
  );

  const ask = useCallback(
    (id: string) => {
      void queryClient
        .query({ ...ONCE, queryKey: ['question'], queryFn: () => askQuestion(api, id) })
        .then(({ jobId: asked, ask: isGranted }) => isGranted && asked === id && hold(id))
        .catch(() => undefined);
    },
    [api, queryClient, hold],
  );
  const onKept = useCallback(
    (id: string) => {
      ask(id);
      void queryClient
        .query({ ...ONCE, queryKey: ['saved', id], queryFn: () => noteSaved(api, id) })
        .catch(() => undefined);
    },
    [api, queryClient, ask],
  );

  const complete = runs.filter(({ view }) => view.kind === 'complete');
  const third = complete.length >= RUNS_BEFORE_ASKING ? complete[0]?.run.jobId : null;
  useEffect(() => {
    if (third) ask(third);
  }, [third, ask]);

  const onAnswered = useCallback(() => remember(storageKey, null), [storageKey]);
  return { jobId, onKept, onAnswered, close: useCallback(() => hold(null), [hold]) };
}
