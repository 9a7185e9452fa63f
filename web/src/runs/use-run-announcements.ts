/** Announces changes of the runs in the live region, and reports each run that ends. */
import { useEffect, useEffectEvent, useRef } from 'react';
import { useAnnounce } from '../ui/announcer';
import { announcement } from './announcements';
import type { LiveRun, RunView } from './run-view';

/** `onEnd` gets the announcement and the run's key when a run completes or fails. */
export function useRunAnnouncements(runs: LiveRun[], onEnd: (text: string, key: string) => void): void {
  const announce = useAnnounce();
  const reportEnd = useEffectEvent(onEnd);
  const previous = useRef(new Map<string, RunView>());
  useEffect(() => {
    const current = new Map<string, RunView>();
    const texts: string[] = [];
    for (const { run, view } of runs) {
      const before = previous.current.get(run.key);
      // After a refresh the page doesn't know the job until the first answer. That answer is not a change.
      const isUnknown = view.kind === 'unfinished' && view.job === null && run.jobId !== null;
      // Nobody is told that pictures are ready before the page shows them.
      const after = isUnknown || view.kind === 'arriving' ? before : view;
      if (after === undefined) continue;
      current.set(run.key, after);
      const text = announcement(before, after);
      if (text === null) continue;
      texts.push(text);
      if (after.kind === 'complete' || after.kind === 'failed') reportEnd(text, run.key);
    }
    // One call for all texts, because a screen reader reads only the last one.
    if (texts.length > 0) announce(texts.join('. '));
    previous.current = current;
  }, [runs, announce]);
}
