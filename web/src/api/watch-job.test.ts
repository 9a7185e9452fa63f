/** The event stream of a job: which events are passed on, and how a broken stream is opened again. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Api } from './client';
import type { Job } from './get-job';
import { watchJob } from './watch-job';

type Stream = ReadableStreamDefaultController<Uint8Array>;

let streams: Stream[] = [];
let jobs: Job[] = [];
const onLost = vi.fn<() => void>();

// Stands in for the network. Each request opens a stream, and the test writes to it.
const api: Pick<Api, 'origin' | 'fetch'> = {
  origin: 'http://localhost:8000',
  fetch: () =>
    Promise.resolve(new Response(new ReadableStream<Uint8Array>({ start: (stream) => void streams.push(stream) }))),
};

function write(text: string): Promise<void> {
  streams.at(-1)?.enqueue(new TextEncoder().encode(text));
  return vi.advanceTimersByTimeAsync(0).then(() => undefined);
}

let stop: () => void;
beforeEach(async () => {
  vi.useFakeTimers();
  streams = [];
  jobs = [];
  onLost.mockClear();
  stop = watchJob(api as Api, 'job-1', { onJob: (job) => void jobs.push(job), onLost });
  await vi.advanceTimersByTimeAsync(0);
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

test('job events are passed on, other events and comments are not', async () => {
  await write('event: job\ndata: {"id": "job-1"}\n\n');
  await write('event: other\ndata: {"id": "job-2"}\n\n: ping\n\n');
  expect(jobs).toEqual([{ id: 'job-1' }]);
});

test('a stream that is silent for 25 s counts as lost, and a comment keeps it alive', async () => {
  await vi.advanceTimersByTimeAsync(20_000);
  await write(': ping\n\n');
  await vi.advanceTimersByTimeAsync(20_000);
  expect(onLost).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(onLost).toHaveBeenCalledOnce();
});

test('a broken stream is opened again after growing pauses, and a message resets the pause', async () => {
  const openedAfterBreak = async () => {
    const before = streams.length;
    streams.at(-1)?.close();
    await vi.advanceTimersByTimeAsync(0);
    let waited = 0;
    while (streams.length === before && waited < 60_000) {
      await vi.advanceTimersByTimeAsync(500);
      waited += 500;
    }
    return waited;
  };
  expect(await openedAfterBreak()).toBe(2_000);
  expect(await openedAfterBreak()).toBe(4_000);
  expect(await openedAfterBreak()).toBe(8_000);
  await write('event: job\ndata: {"id": "job-1"}\n\n');
  expect(await openedAfterBreak()).toBe(2_000);
});

test('after stopping, no stream is opened again', async () => {
  streams.at(-1)?.close();
  await vi.advanceTimersByTimeAsync(0);
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(streams).toHaveLength(1);
});
