/**
 * A job's changes as the server sends them. The stream may break at any time and says nothing about the job then:
 * whoever watches must also be able to poll.
 */
import { createEventSource, type EventSourceClient } from 'eventsource-client';
import type { Api } from './client';
import type { Job } from './get-job';

/** The API sends a comment every 15 s when nothing changes; a stream that is quieter than this is dead. */
const SILENCE_MS = 25_000;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 30_000;

type Watcher = {
  onJob: (job: Job) => void;
  /** The stream broke; it is opened again after a pause that grows. */
  onLost: () => void;
};

/** Starts watching; returns the function that stops. */
export function watchJob(api: Api, id: string, { onJob, onLost }: Watcher): () => void {
  let source: EventSourceClient | null = null;
  let silence: number | undefined;
  let reopening: number | undefined;
  let pause = FIRST_PAUSE_MS;

  function open(): void {
    source = createEventSource({
      url: `${api.origin}/jobs/${id}/events`,
      fetch: (url, init) => api.fetch(new Request(url, init)),
      onMessage: ({ event, data }) => {
        stillAlive();
        if (event !== 'job') return;
        pause = FIRST_PAUSE_MS;
        onJob(JSON.parse(data) as Job);
      },
      onConnect: stillAlive,
      onComment: stillAlive,
      // The library would try again every 2 s for ever; the pauses here grow.
      onScheduleReconnect: lost,
    });
  }

  function stillAlive(): void {
    window.clearTimeout(silence);
    silence = window.setTimeout(lost, SILENCE_MS);
  }

  function lost(): void {
    close();
    onLost();
    reopening = window.setTimeout(open, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }

  function close(): void {
    window.clearTimeout(silence);
    window.clearTimeout(reopening);
    source?.close();
  }

  open();
  return close;
}
