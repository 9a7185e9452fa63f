/** Shows the progress in the title of the browser tab, for people who do something else meanwhile. */
import { useEffect } from 'react';
import { strings } from '../ui/strings';
import type { LiveRun } from './run-view';

export function usePageTitle(runs: LiveRun[]): void {
  const title = pageTitle(runs);
  useEffect(() => {
    document.title = title;
  }, [title]);
}

function pageTitle(runs: LiveRun[]): string {
  // The oldest unfinished run is drawn first.
  const view = (runs.findLast((run) => run.view.kind === 'unfinished') ?? runs[0])?.view;
  switch (view?.kind) {
    case 'unfinished':
      return view.job?.status === 'processing'
        ? strings.title.progress(view.job.progress.percent)
        : strings.title.waiting;
    case 'arriving':
      return strings.title.waiting;
    case 'complete':
      return strings.title.ready;
    case 'failed':
      return strings.title.failed;
    default:
      return strings.product;
  }
}
