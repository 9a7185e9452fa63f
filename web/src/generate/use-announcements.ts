/** Watches the runs and tells the live region what has changed. */
import { useEffect, useRef } from 'react';
import { useAnnounce } from '../ui/announcer';
import { announcement } from './announcements';
import type { RunView } from './run-view';
import type { LiveRun } from './use-runs';

export function useAnnouncements(runs: LiveRun[]): void {
  const announce = useAnnounce();
  const seen = useRef(new Map<string, RunView>());
  useEffect(() => {
    const before = seen.current;
    seen.current = new Map(runs.map(({ run, view }) => [run.key, view]));
    for (const { run, view } of runs) {
      const text = announcement(before.get(run.key), view);
      if (text !== null) announce(text);
    }
  }, [runs, announce]);
}
