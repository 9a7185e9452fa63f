/** Asks for the jobs of the person's runs while the page still asks who that is: pictures come one answer sooner. */
import type { QueryClient } from '@tanstack/react-query';
import type { Api } from '../api/client';
import { jobQuery } from './job-query';
import { loadRuns } from './kept-runs';

export function prefetchRuns(api: Api, queryClient: QueryClient, accountId: string): void {
  for (const { jobId } of loadRuns(accountId)) {
    if (jobId === null) continue;
    // What goes wrong here is asked again, and told, by the run itself.
    queryClient.query({ ...jobQuery(api, jobId, false), retry: false }).catch(() => undefined);
  }
}
