/**
 * Watches a job through the server's event stream.
 *
 * The stream may break at any time, and a broken stream says nothing about the job. So the caller must also be able to
 * poll.
 */
import { createEventSource, type EventSourceClient } from 'eventsource-client';
import type { Api } from './client';
import type { Job } from './get-job';

/** The API sends a comment every 15 s when nothing changes. A stream that is silent for longer than this is dead. */
const SILENCE_MS = 25_000;
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 30_000;

type Listeners = {
  onJob: (job: Job) => void;
  /** The stream broke. It is opened again after a pause, which grows from one break to the next. */
  onLost: () => void;
};

/** Starts watching. Returns the function that stops it. */
export function watchJob(api: Api, id: string, { onJob, onLost }: Listeners): () => void {
  let source: EventSourceClient | null = null;
  let silenceTimer: number | undefined;
  let reopenTimer: number | undefined;
  let pause = FIRST_PAUSE_MS;

  function open(): void {
    source = createEventSource({
      url: `${api.origin}/jobs/${id}/events`,
      fetch: (url, init) => api.fetch(new Request(url, init)),
      onMessage: ({ event, data }) => {
        restartSilenceTimer();
        if (event !== 'job') return;
        pause = FIRST_PAUSE_MS;
        onJob(JSON.parse(data) as Job);
      },
      onConnect: restartSilenceTimer,
      onComment: restartSilenceTimer,
      // The library would reconnect every 2 s for ever. Here the pauses grow.
      onScheduleReconnect: handleLost,
    });
  }

  function restartSilenceTimer(): void {
    window.clearTimeout(silenceTimer);
    silenceTimer = window.setTimeout(handleLost, SILENCE_MS);
  }

  function handleLost(): void {
    close();
    onLost();
    reopenTimer = window.setTimeout(open, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }

  function close(): void {
    window.clearTimeout(silenceTimer);
    window.clearTimeout(reopenTimer);
    source?.close();
  }

  open();
  return close;
}
