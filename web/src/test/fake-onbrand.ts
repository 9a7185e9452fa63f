/**
 * Onbrand's HTTP interface, played by MSW: jobs stand still until a test moves them. The page under test is the real
 * one; only what is behind the network is played.
 */
import { http, HttpResponse, type HttpHandler } from 'msw';
import type { Job } from '../api/get-job';
import type { Me } from '../api/get-me';
import type { PageConfig } from '../api/get-page-config';
import { server } from './server';

const ORIGIN = 'http://localhost:8000';
const USER_ID = 'aaaaaaaa-0000-4000-8000-000000000001';

export const PAGE_CONFIG: PageConfig = {
  version: '0.1.0',
  retention_hours: 720,
  sign_in: {
    kind: 'local',
    client_id: '22222222-2222-4222-8222-222222222222',
    authority: 'https://localhost:8000/11111111-1111-4111-8111-111111111111',
    known_authorities: ['localhost:8000'],
    scope: 'api://33333333-3333-4333-8333-333333333333/access_as_user',
    authority_metadata: null,
  },
};

export const MEMBER: Me = {
  name: 'Studio member',
  username: 'member@studio.example',
  may_generate: true,
  refusal: null,
  style: { name: 'House style', version: 'v3', reviewed: true },
};

type Submission = { key: string | null; prompt: string; authorization: string | null };
type Answer = () => Response | Promise<Response>;

export class FakeOnbrand {
  readonly submissions: Submission[] = [];
  readonly cancelled: string[] = [];
  /** Paths with their queries, in the order they were asked for. */
  readonly requests: string[] = [];
  readonly jobs = new Map<string, Job>();
  me: Me = MEMBER;
  /** What answers the next requests whose method and path match, before the usual answer does. */
  private readonly instead: { method: string; path: RegExp; times: number; answer: Answer }[] = [];
  private readonly streams = new Map<string, Set<ReadableStreamDefaultController<Uint8Array>>>();

  constructor() {
    server.use(...this.handlers());
  }

  /** Lets `answer` reply to the next `times` matching requests. */
  once(method: string, path: RegExp, answer: Answer, times = 1): void {
    this.instead.push({ method, path, times, answer });
  }

  /** The job of the n-th submission (0 is the first). */
  job(index: number): Job {
    const job = [...this.jobs.values()][index];
    if (job === undefined) throw new Error(`No job ${index} yet`);
    return job;
  }

  /** Changes a job and tells whoever streams it. */
  update(id: string, change: Omit<Partial<Job>, 'progress'> & { progress?: Partial<Job['progress']> }): void {
    const job = this.jobs.get(id);
    if (job === undefined) throw new Error(`No job ${id}`);
    const next = { ...job, ...change, progress: { ...job.progress, ...change.progress } };
    this.jobs.set(id, next);
    this.send(id, next);
    if (next.status === 'complete' || next.status === 'failed') this.dropStreams(id);
  }

  draw(id: string, step: number, percent: number): void {
    this.update(id, {
      status: 'processing',
      progress: { phase: 'drawing', step, steps: 12, percent, queue_position: null, eta_seconds: 12 - step },
    });
  }

  complete(id: string): void {
    this.update(id, {
      status: 'complete',
      completed_at: '2026-01-28T14:02:06Z',
      expires_at: '2026-02-27T14:02:06Z',
      images: [1, 2, 3, 4].map((n) => `/jobs/${id}/images/${n}`),
      progress: { phase: null, step: 12, steps: 12, percent: 100, queue_position: null, eta_seconds: null },
    });
  }

  fail(id: string, error: NonNullable<Job['error']>): void {
    this.update(id, { status: 'failed', error, progress: { phase: null } });
  }

  /** Sends a view of a job without it being the job's state: news that was overtaken. */
  send(id: string, view: Job): void {
    const event = new TextEncoder().encode(`event: job\ndata: ${JSON.stringify(view)}\n\n`);
    this.streams.get(id)?.forEach((stream) => stream.enqueue(event));
  }

  dropStreams(id: string): void {
    this.streams.get(id)?.forEach((stream) => stream.close());
    this.streams.delete(id);
  }

  isStreamed(id: string): boolean {
    return (this.streams.get(id)?.size ?? 0) > 0;
  }

  private handlers(): HttpHandler[] {
    return [
      http.all(`${ORIGIN}/*`, ({ request }) => {
        const { pathname, search } = new URL(request.url);
        this.requests.push(`${request.method} ${pathname}${search}`);
        const special = this.instead.find(
          ({ method, path, times }) => times > 0 && method === request.method && path.test(pathname),
        );
        if (special === undefined) return undefined;
        special.times -= 1;
        return special.answer();
      }),
      http.get(`${ORIGIN}/me`, () => HttpResponse.json(this.me)),
      http.post(`${ORIGIN}/warm`, () => new HttpResponse(null, { status: 204 })),
      http.post(`${ORIGIN}/generate`, async ({ request }) => this.accept(request)),
      http.get(`${ORIGIN}/jobs/:id`, ({ params }) => this.withJob(params['id'], (job) => HttpResponse.json(job))),
      http.delete(`${ORIGIN}/jobs/:id`, ({ params }) =>
        this.withJob(params['id'], ({ id }) => {
          this.cancelled.push(id);
          this.fail(id, { code: 'cancelled', title: 'Cancelled', detail: 'You stopped this generation.' });
          return HttpResponse.json(this.jobs.get(id));
        }),
      ),
      http.get(`${ORIGIN}/jobs/:id/events`, ({ params }) => this.withJob(params['id'], (job) => this.stream(job))),
      http.get(`${ORIGIN}/jobs/:id/images/:n`, ({ params, request }) =>
        this.withJob(params['id'], (job) => imageOf(job, Number(params['n']), new URL(request.url).search)),
      ),
    ];
  }

  private async accept(request: Request): Promise<Response> {
    const { prompt } = (await request.json()) as { prompt: string };
    const key = request.headers.get('Idempotency-Key');
    const before = this.submissions.find((submission) => submission.key === key);
    this.submissions.push({ key, prompt, authorization: request.headers.get('Authorization') });
    const index = before ? this.submissions.indexOf(before) : this.jobs.size;
    const job = before ? this.job(index) : queuedJob(index, prompt);
    this.jobs.set(job.id, job);
    return HttpResponse.json({ job_id: job.id, estimated_seconds: 8, prompt_truncated: null }, { status: 202 });
  }

  private withJob(id: unknown, answer: (job: Job) => Response): Response {
    const job = this.jobs.get(String(id));
    return job ? answer(job) : problem(404, 'job_not_found', 'No such job');
  }

  private stream(job: Job): Response {
    const open = this.streams.get(job.id) ?? new Set();
    this.streams.set(job.id, open);
    let mine: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        mine = controller;
        open.add(controller);
        controller.enqueue(new TextEncoder().encode(`event: job\ndata: ${JSON.stringify(job)}\n\n`));
      },
      cancel: () => {
        if (mine) open.delete(mine);
      },
    });
    return new HttpResponse(body, { headers: { 'Content-Type': 'text/event-stream' } });
  }
}

export function problem(status: number, code: string, title: string, detail = 'Some detail.'): Response {
  return HttpResponse.json(
    { type: 'about:blank', title, status, detail, instance: '/', code, request_id: 'req-7f3a' },
    { status, headers: { 'Content-Type': 'application/problem+json' } },
  );
}

/** The bytes of picture `n` of a job. */
export function pictureBytes(job: Job, n: number): string {
  return `PNG of ${job.id} ${n}`;
}

function imageOf(job: Job, n: number, search: string): Response {
  const name = `onbrand_a-teapot_2026-01-28_${job.id.slice(0, 4)}_${n}.png`;
  const download = { 'Content-Disposition': `attachment; filename="${name}"` };
  return new HttpResponse(pictureBytes(job, n), {
    headers: { 'Content-Type': 'image/png', ...(search === '?download=1' && download) },
  });
}

function queuedJob(index: number, prompt: string): Job {
  return {
    id: `${String(index).padStart(8, '0')}-0000-4000-8000-000000000000`,
    prompt,
    prompt_truncated: null,
    status: 'queued',
    created_at: '2026-01-28T14:02:00Z',
    completed_at: null,
    expires_at: null,
    images: [],
    user_id: USER_ID,
    progress: { phase: 'waiting', step: 0, steps: 0, percent: 0, queue_position: 2, eta_seconds: 50 },
    error: null,
    pack: null,
  };
}
