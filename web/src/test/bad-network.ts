/**
 * What lies between the page and FakeOnbrand on a bad day: replies that are late, lost, refused or somebody else's.
 *
 * Only what a network and a server can do: a reply that is held was made when the request came, so it is old news by
 * the time it is let go; a reply that is lost says nothing about whether the request was carried out.
 */
import { getResponse, http, HttpResponse } from 'msw';
import { problem, type FakeOnbrand } from './fake-onbrand';
import { server } from './server';

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
  /** While true, event streams can't be opened. */
  isMute = false;
  private fates: { kind: Kind; fate: Fate }[] = [];
  private held: (() => void)[] = [];
  /** The calls this page has had an answer to. */
  private readonly told = new Set<string>();

  constructor(private readonly onbrand: FakeOnbrand) {
    server.use(http.all('*', ({ request }) => this.carry(request)));
  }

  /** What happens to the next request of a kind that isn't decided yet. */
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

  /** A page that was loaded again has been told nothing yet. */
  forget(): void {
    this.told.clear();
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
    if (fate === 'mix up') return this.replyMeantForAnother(call) ?? reply;
    if (fate === 'answer') this.told.add(call);
    return reply;
  }

  private fateOf(call: string): Fate {
    const index = this.fates.findIndex(({ kind }) => PATTERNS[kind].test(call));
    return (index === -1 ? undefined : this.fates.splice(index, 1)[0]?.fate) ?? 'answer';
  }

  /** Only for a job that is known: the first word about a job can't be told from a true one. */
  private replyMeantForAnother(call: string): Response | undefined {
    if (!PATTERNS.poll.test(call) || !this.told.has(call)) return undefined;
    const other = [...this.onbrand.jobs.values()].find(({ id }) => !call.endsWith(id));
    return other && HttpResponse.json(other);
  }
}
