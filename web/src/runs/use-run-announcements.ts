/** Watches the runs and passes on what has changed: to the live region, and as a notice when nobody is looking. */
import { useEffect, useRef } from 'react';
import { useAnnounce } from '../ui/announcer';
import { announcement } from './announcements';
import { notify } from '../feedback/notifications';
import type { RunView } from './run-view';
import type { LiveRun } from './use-runs';

export function useRunNews(runs: LiveRun[], accountId: string): void {
  const announce = useAnnounce();
  const seen = useRef(new Map<string, RunView>());
  useEffect(() => {
    const now = new Map<string, RunView>();
    const texts: string[] = [];
    for (const { run, view } of runs) {
      const before = seen.current.get(run.key);
      // Nothing is known of a run from before a refresh until the first answer, and that is no news.
      const isLookedUp = view.kind === 'unfinished' && view.job === null && run.jobId !== null;
      const after = isLookedUp ? before : view;
      if (after === undefined) continue;
      now.set(run.key, after);
      const text = announcement(before, after);
      if (text === null) continue;
      texts.push(text);
      if (after.kind === 'complete' || after.kind === 'failed') notify(accountId, text, run.key);
    }
    if (texts.length > 0) announce(texts.join('. ')); // one text at a time is heard
    seen.current = now;
  }, [runs, accountId, announce]);
}
