/**
 * A bad network between the page and FakeOnbrand: replies are late, lost or refused, or belong to another job.
 *
 * It does only what a real network and a real server can do. A held reply was made when the request came, so it is old
 * when it is released. If a reply is lost, the server may have carried out the request or not.
 */
import { getResponse, http, HttpResponse } from 'msw';
import { problem, type FakeOnbrand } from './fake-onbrand';
import { server } from './server';

/** What can happen to one request. */
export const FATES = ['hold', 'lose request', 'lose reply', 'refuse', 'fail', 'fail after', 'mix up'] as const;
export type Fate = (typeof FATES)[number] | 'answer';

export const KINDS = ['submit', 'poll', 'cancel', 'picture'] as const;
export type Kind = (typeof KINDS)[number];

const PATTERNS: Record<Kind, RegExp> = {
  submit: /^POST \/generate$/,
  poll: /^GET \/jobs\/[^/]+$/,
  cancel: /^DELETE /,
  picture: /^GET .*\/images\//,
};

export class BadNetwork {
  /** While this is true, event streams can't be opened. */
  isMute = false;
  private fates: { kind: Kind; fate: Fate }[] = [];
  private held: (() => void)[] = [];
  /** The calls that this page has got an answer to. */
  private readonly answered = new Set<string>();

  constructor(private readonly onbrand: FakeOnbrand) {
    server.use(http.all('*', ({ request }) => this.carry(request)));
  }

  /** Decides what happens to the next request of this kind that is not decided yet. */
  next(kind: Kind, fate: Fate): void {
    this.fates.push({ kind, fate });
  }

  release(which: 'oldest' | 'newest'): void {
    (which === 'oldest' ? this.held.shift() : this.held.pop())?.();
  }

  heal(): void {
    this.isMute = false;
    this.fates = [];
    this.held.splice(0).forEach((release) => release());
  }

  /** Called when the page is loaded again: the new page has got no answers yet. */
  forget(): void {
    this.answered.clear();
  }

  private async carry(request: Request): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    if (this.isMute && pathname.endsWith('/events')) return HttpResponse.error();
    const call = `${request.method} ${pathname}`;
    const fate = this.fateOf(call);
    if (fate === 'lose request') return HttpResponse.error();
    if (fate === 'refuse') return problem(429, 'too_many_queued', 'Too many waiting');
    if (fate === 'fail') return problem(500, 'internal_error', 'Something broke');
    const reply = await getResponse(this.onbrand.handlers(), request.clone());
    if (fate === 'hold') await new Promise<void>((resolve) => void this.held.push(resolve));
    if (fate === 'lose reply') return HttpResponse.error();
    if (fate === 'fail after') return problem(500, 'internal_error', 'Something broke');
    if (fate === 'mix up') return this.replyForAnotherJob(call) ?? reply;
    if (fate === 'answer') this.answered.add(call);
    return reply;
  }

  private fateOf(call: string): Fate {
    const index = this.fates.findIndex(({ kind }) => PATTERNS[kind].test(call));
    return (index === -1 ? undefined : this.fates.splice(index, 1)[0]?.fate) ?? 'answer';
  }

  /** Only for a job that the page knows: it can't notice that the first answer about a job is wrong. */
  private replyForAnotherJob(call: string): Response | undefined {
    if (!PATTERNS.poll.test(call) || !this.answered.has(call)) return undefined;
    const other = [...this.onbrand.jobs.values()].find(({ id }) => !call.endsWith(id));
    return other && HttpResponse.json(other);
  }
}
