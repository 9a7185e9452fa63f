/**
 * A stand-in for Onbrand's API, made with MSW. Jobs don't change until a test changes them. The page under test is the
 * real one; only what is behind the network is replaced.
 */
import { http, HttpResponse, type HttpHandler } from 'msw';
import type { Job } from '../api/get-job';
import type { Me } from '../api/get-me';
import type { Known } from '../api/get-style-limits';
import type { StylePicture } from '../api/get-style-pictures';
import type { Onbrand, PageConfig } from '../api/get-page-config';
import { isFinal } from '../runs/newer-job';
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

export const ONBRAND: Onbrand = { origin: ORIGIN, config: PAGE_CONFIG };

export const MEMBER: Me = {
  name: 'Studio member',
  username: 'member@studio.example',
  may_generate: true,
  refusal: null,
  style: {
    name: 'House style',
    version: 'v3',
    reviewed: true,
    examples: ['A red backpack', 'An umbrella'],
    signed_by: 'Mio Ito',
    signed_at: '2026-01-12T09:00:00Z',
  },
  is_ready: true,
  usual_seconds: { typical: 8, slow: 12 },
  may_review: false,
  taken_back: null,
  budget: null,
};

export const NO_PROGRESS: Job['progress'] = {
  phase: null,
  step: 0,
  steps: 0,
  percent: 0,
  queue_position: null,
  eta_seconds: null,
  is_late: false,
  previews: [],
};

type Submission = { key: string | null; prompt: string; authorization: string | null };
type Verdict = { jobId: string; useful: boolean | null; comment: string | null };
type JobChange = Omit<Partial<Job>, 'progress'> & { progress?: Partial<Job['progress']> };
type Answer = () => Response | Promise<Response>;

export class FakeOnbrand {
  readonly submissions: Submission[] = [];
  readonly cancelled: string[] = [];
  /** All requests in order: method, path and query. */
  readonly requests: string[] = [];
  readonly jobs = new Map<string, Job>();
  me: Me = MEMBER;
  /** Whether the page may ask "Was this useful?": about the first job, or about one that takes its place. */
  mayAsk = false;
  /** Jobs of an older version have no renditions. */
  hasRenditions = true;
  /** What the model knows; null for a model without such a list. */
  known: Known | null = null;
  /** The prompts of the pictures that the live style shows of itself. */
  stylePictures: string[] = [];
  /** The jobs that the page wanted to ask about, and the answers of the person. */
  readonly asked: string[] = [];
  readonly verdicts: Verdict[] = [];
  private askedAbout: string | null = null;
  private readonly jobOfKey = new Map<string | null, string>();
  /** Answers for the next requests with this method and path, in place of the usual answer. */
  private readonly overrides: { method: string; path: RegExp; times: number; answer: Answer }[] = [];
  private readonly streams = new Map<string, Set<ReadableStreamDefaultController<Uint8Array>>>();

  constructor() {
    server.use(...this.handlers());
  }

  /** The next `times` matching requests get `answer` in place of the usual answer. */
  answerNext(method: string, path: RegExp, answer: Answer, times = 1): void {
    this.overrides.push({ method, path, times, answer });
  }

  /** The n-th job (0 is the first). */
  job(index: number): Job {
    const job = [...this.jobs.values()][index];
    if (job === undefined) throw new Error(`No job ${index} yet`);
    return job;
  }

  /** The job that was made for an Idempotency-Key, if any. */
  jobOf(key: string | null): Job | undefined {
    return this.jobs.get(this.jobOfKey.get(key) ?? '');
  }

  /**
   * Changes a job and sends it to its streams. The streams of a finished job are closed. With `late`, that older state
   * is sent after the change, and the streams stay open.
   */
  update(id: string, change: JobChange, late?: Job): void {
    const job = this.jobs.get(id);
    if (job === undefined) throw new Error(`No job ${id}`);
    const startsDrawing = job.status === 'queued' && change.status === 'processing';
    const attempt = startsDrawing ? job.attempt + 1 : job.attempt;
    const started_at = (change.status ?? job.status) === 'queued' ? null : (job.started_at ?? job.created_at);
    const next = { ...job, attempt, started_at, ...change, progress: { ...job.progress, ...change.progress } };
    this.jobs.set(id, next);
    this.send(id, next);
    if (late !== undefined) this.send(id, late);
    else if (isFinal(next)) this.dropStreams(id);
  }

  draw(id: string, step: number, percent: number): void {
    this.update(id, {
      status: 'processing',
      progress: { phase: 'drawing', step, steps: 12, percent, queue_position: null, eta_seconds: 12 - step },
    });
  }

  complete(id: string, late?: Job): void {
    const end: JobChange = {
      status: 'complete',
      completed_at: '2026-01-28T14:02:06Z',
      expires_at: '2026-02-27T14:02:06Z',
      images: [1, 2, 3, 4].map((n) => `/jobs/${id}/images/${n}`),
      progress: { ...NO_PROGRESS, step: 12, steps: 12, percent: 100 },
    };
    this.update(id, end, late);
  }

  fail(id: string, error: NonNullable<Job['error']>): void {
    this.update(id, { status: 'failed', error, progress: { phase: null } });
  }

  /** Sends a state to the streams of a job without changing the job, as when an older state arrives late. */
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

  handlers(): HttpHandler[] {
    return [
      http.all(`${ORIGIN}/*`, ({ request }) => {
        const { pathname, search } = new URL(request.url);
        this.requests.push(`${request.method} ${pathname}${search}`);
        const override = this.overrides.find(
          ({ method, path, times }) => times > 0 && method === request.method && path.test(pathname),
        );
        if (override === undefined) return undefined;
        override.times -= 1;
        return override.answer();
      }),
      http.get(`${ORIGIN}/me`, () => HttpResponse.json(this.me)),
      http.get(`${ORIGIN}/style/limits`, () => HttpResponse.json({ known: this.known })),
      http.get(`${ORIGIN}/style/pictures`, () => HttpResponse.json({ pictures: stylePictures(this.stylePictures) })),
      http.get(`${ORIGIN}/style/pictures/:pack/:n`, ({ params }) => webpOf(`WebP of the style ${String(params['n'])}`)),
      http.post(`${ORIGIN}/warm`, () => new HttpResponse(null, { status: 204 })),
      http.post(`${ORIGIN}/generate`, async ({ request }) => this.accept(request)),
      http.get(`${ORIGIN}/jobs/:id`, ({ params }) => this.withJob(params['id'], (job) => HttpResponse.json(job))),
      http.delete(`${ORIGIN}/jobs/:id`, ({ params }) =>
        this.withJob(params['id'], (job) => HttpResponse.json(this.cancel(job))),
      ),
      http.post(`${ORIGIN}/jobs/:id/question`, ({ params, request }) =>
        this.withJob(params['id'], ({ id }) => HttpResponse.json({ ask: this.ask(id, request) })),
      ),
      http.put(`${ORIGIN}/jobs/:id/answer`, async ({ params, request }) => {
        this.verdicts.push({ jobId: String(params['id']), ...((await request.json()) as Omit<Verdict, 'jobId'>) });
        return new HttpResponse(null, { status: 204 });
      }),
      http.put(`${ORIGIN}/jobs/:id/saved`, () => new HttpResponse(null, { status: 204 })),
      http.get(`${ORIGIN}/jobs/:id/events`, ({ params }) => this.withJob(params['id'], (job) => this.stream(job))),
      http.get(`${ORIGIN}/jobs/:id/images/:n`, ({ params, request }) => {
        const isTile = this.hasRenditions && new URL(request.url).searchParams.get('size') === '512';
        return this.withJob(params['id'], (job) => (isTile ? renditionOf : imageOf)(job, Number(params['n'])));
      }),
    ];
  }

  private async accept(request: Request): Promise<Response> {
    const { prompt } = (await request.json()) as { prompt: string };
    const key = request.headers.get('Idempotency-Key');
    this.submissions.push({ key, prompt, authorization: request.headers.get('Authorization') });
    const job = this.jobOf(key) ?? queuedJob(this.jobs.size, prompt);
    this.jobs.set(job.id, job);
    this.jobOfKey.set(key, job.id);
    return HttpResponse.json({ job_id: job.id, estimated_seconds: 8, prompt_truncated: null }, { status: 202 });
  }

  private ask(id: string, request: Request): boolean {
    this.asked.push(id);
    const isAnswered = this.verdicts.some(({ jobId }) => jobId === this.askedAbout);
    const isMoved = new URL(request.url).searchParams.get('instead_of') === this.askedAbout && !isAnswered;
    if (this.askedAbout === null || isMoved) this.askedAbout = id;
    return this.mayAsk && this.askedAbout === id && !isAnswered;
  }

  private cancel(job: Job): Job {
    if (isFinal(job)) return job;
    this.cancelled.push(job.id);
    this.fail(job.id, { code: 'cancelled', title: 'Cancelled', detail: 'You stopped this generation.' });
    return this.jobs.get(job.id) ?? job;
  }

  private withJob(id: unknown, answer: (job: Job) => Response): Response {
    const job = this.jobs.get(String(id));
    return job ? answer(job) : problem(404, 'job_not_found', 'No such job');
  }

  private stream(job: Job): Response {
    const open = this.streams.get(job.id) ?? new Set();
    this.streams.set(job.id, open);
    let own: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        own = controller;
        open.add(controller);
        controller.enqueue(new TextEncoder().encode(`event: job\ndata: ${JSON.stringify(job)}\n\n`));
      },
      cancel: () => {
        if (own) open.delete(own);
      },
    });
    return new HttpResponse(body, { headers: { 'Content-Type': 'text/event-stream' } });
  }
}

export function problem(
  status: number,
  code: string,
  title: string,
  detail = 'Some detail.',
  headers: Record<string, string> = {},
): Response {
  return HttpResponse.json(
    { type: 'about:blank', title, status, detail, instance: '/', code, request_id: 'req-7f3a' },
    { status, headers: { 'Content-Type': 'application/problem+json', ...headers } },
  );
}

/** Four previews of a job at a step: texts that name job, picture and step, in place of small JPEGs. */
export function previewsOf(id: string, step: number): string[] {
  return [1, 2, 3, 4].map((n) => btoa(`preview of ${id} ${n} at ${step}`));
}

/** The bytes of the rendition of picture `n` of a job. */
export function renditionBytes(job: Job, n: number): string {
  return `WebP of ${job.id} ${n}`;
}

/** The bytes of picture `n` of a job. */
export function pictureBytes(job: Job, n: number): string {
  return `PNG of ${job.id} ${n}`;
}

function imageOf(job: Job, n: number): Response {
  const name = `onbrand_a-teapot_2026-01-28_${job.id.slice(0, 4)}_${n}.png`;
  return new HttpResponse(pictureBytes(job, n), {
    headers: { 'Content-Type': 'image/png', 'Content-Disposition': `inline; filename="${name}"` },
  });
}

function renditionOf(job: Job, n: number): Response {
  return webpOf(renditionBytes(job, n));
}

function webpOf(bytes: string): Response {
  return new HttpResponse(bytes, {
    headers: { 'Content-Type': 'image/webp', 'Content-Length': String(bytes.length) },
  });
}

function stylePictures(prompts: string[]): StylePicture[] {
  return prompts.map((prompt, index) => ({ prompt, url: `/style/pictures/pack/${index + 1}` }));
}

function queuedJob(index: number, prompt: string): Job {
  return {
    id: `${String(index).padStart(8, '0')}-0000-4000-8000-000000000000`,
    prompt,
    prompt_truncated: null,
    prompt_ignored: null,
    status: 'queued',
    created_at: '2026-01-28T14:02:00Z',
    started_at: null,
    completed_at: null,
    expires_at: null,
    images: [],
    user_id: USER_ID,
    seeds: [11, 12, 13, 14],
    attempt: 0,
    progress: { ...NO_PROGRESS, phase: 'waiting', queue_position: 2, eta_seconds: 50 },
    error: null,
    pack: null,
  };
}
