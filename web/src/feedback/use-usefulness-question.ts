/**
 * Decides when to ask "Was this useful?": after a person saved a picture for the first time, or after their third
 * complete run. Until it is answered it goes along with the work: when a newer run is complete, it is about that one.
 *
 * The server decides whether it may be asked at all (once in 14 days a person, in one tab only). The tab stores which
 * job the question is about, so that a refresh doesn't lose it.
 */
import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useEffectEvent, useState } from 'react';
import { useApi } from '../api/api-context';
import { askQuestion } from '../api/ask-question';
import { reportSaved } from '../api/report-saved';
import { loadFromTab, saveToTab } from '../tab-storage';

const RUNS_BEFORE_ASKING = 3;
/** For a call that is made once while the page is open. If it fails, it isn't repeated. */
const ONCE = { staleTime: Infinity, gcTime: Infinity, retry: false };

type Question = {
  /** The job that the question is about, or null while nothing is asked. */
  jobId: string | null;
  /** A picture of this job was saved or copied. */
  onSaved: (jobId: string) => void;
  /** The person answered. A refresh doesn't ask again, but until then the person may add a comment. */
  onAnswered: () => void;
  close: () => void;
};

/** `completeJobIds` are the complete jobs on the page, newest first. */
export function useUsefulnessQuestion(accountId: string, completeJobIds: string[]): Question {
  const api = useApi();
  const queryClient = useQueryClient();
  const storageKey = `question.${accountId}`;
  const [jobId, setJobId] = useState(() => {
    const stored = loadFromTab(storageKey);
    return typeof stored === 'string' ? stored : null;
  });
  const [answeredId, setAnsweredId] = useState<string | null>(null);
  const show = useCallback(
    (id: string | null) => {
      saveToTab(storageKey, id);
      setJobId(id);
    },
    [storageKey],
  );

  const ask = useCallback(
    (id: string) => {
      // One query for all jobs: whoever asks second gets the answer about the first job.
      void queryClient
        .query({ ...ONCE, queryKey: ['question'], queryFn: () => askQuestion(api, id) })
        .then((answer) => answer.isAllowed && answer.jobId === id && show(id))
        .catch(() => undefined);
    },
    [api, queryClient, show],
  );
  const onSaved = useCallback(
    (id: string) => {
      ask(id);
      void queryClient
        .query({ ...ONCE, queryKey: ['saved', id], queryFn: () => reportSaved(api, id) })
        .catch(() => undefined);
    },
    [api, queryClient, ask],
  );

  const latest = completeJobIds[0];
  const follow = useEffectEvent((newerId: string) => {
    if (jobId === null || jobId === answeredId || completeJobIds.indexOf(jobId) < 1) return;
    void queryClient
      .query({ ...ONCE, queryKey: ['question', newerId], queryFn: () => askQuestion(api, newerId, jobId) })
      .then((answer) => answer.isAllowed && show(newerId))
      .catch(() => undefined);
  });
  useEffect(() => {
    if (latest !== undefined) follow(latest);
  }, [latest]);

  const newest = completeJobIds.length >= RUNS_BEFORE_ASKING ? completeJobIds[0] : undefined;
  useEffect(() => {
    if (newest !== undefined) ask(newest);
  }, [newest, ask]);

  const onAnswered = useCallback(() => {
    saveToTab(storageKey, null);
    setAnsweredId(jobId);
  }, [storageKey, jobId]);
  return { jobId, onSaved, onAnswered, close: useCallback(() => show(null), [show]) };
}
