/**
 * Whatever order replies, errors and clicks come in: a run has one state at a time, no result is lost or doubled, and
 * no card shows another job's picture.
 *
 * A play is a list of moves: of the person, of the server, of the network. After each move the whole page is compared
 * with what was pressed and with what the server has; at the end everything is put right, and all pictures must come.
 */
import { act, fireEvent } from '@testing-library/react';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Job } from '../api/get-job';
import { liveAddresses } from '../test/object-urls';
import { BadNetwork, FATES, KINDS } from '../test/bad-network';
import { FakeOnbrand, pictureBytes, previewsOf } from '../test/fake-onbrand';
import { renderApp } from '../test/render-app';
import { watchSaving, type Saved } from '../test/downloads';
import { server } from '../test/server';
import { isFinal } from './newer-job';
import { isUnanswered, parseRuns, type Run } from './runs-reducer';

/** The same plays each time; a play that fails is printed with the path that repeats it. */
const SEED = 20_260_128;
const PLAYS = 40;
const MOVES = 20;

/** Which of the cards, or of the jobs: counted round and round, so that there is always one. */
const index = fc.nat({ max: 11 });
/** The first poll of a job goes out together with its stream. */
const firstPoll = fc.constantFrom('answer' as const, 'hold' as const, 'hold' as const, 'lose reply' as const);
const pressing = fc.constantFrom('click', 'double click', 'Ctrl+Enter', 'held Ctrl+Enter');
const move = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('press' as const),
      how: pressing,
      prompt: fc.constantFrom('a teapot', 'a red backpack'),
      afterMs: fc.constantFrom(0, 1_250, 1_250), // a press within a second of another is part of it
      fates: fc.array(fc.constantFrom('answer' as const, ...FATES), { maxLength: 2 }),
      firstPoll,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('on card' as const),
      what: fc.constantFrom('again', 'more', 'cancel', 'remove', 'try picture', 'break picture', 'download', 'tick'),
      card: index,
      n: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('server' as const),
      what: fc.constantFrom('draw', 'draw', 'draw', 'queue again', 'complete', 'fail', 'hang up'),
      job: index,
      by: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fate' as const),
      kind: fc.constantFrom(...KINDS),
      fate: fc.constantFrom(...FATES),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.constantFrom('oldest', 'newest') }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1_100, 1_700, 2_600),
      poll: fc.constantFrom('answer' as const, 'answer' as const, 'hold' as const, 'mix up' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mute' as const), isMute: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('refresh' as const), firstPoll }) },
);
const moves = fc.array(move, { minLength: MOVES / 2, maxLength: MOVES, size: 'max' });
type Move = typeof move extends fc.Arbitrary<infer M> ? M : never;
type MoveOf<K extends Move['do']> = Extract<Move, { do: K }>;

const { setImmediate: nextTurn } = globalThis;

/** Lets replies arrive and React draw them, in as good as no time on the page's clock. */
async function settle(turns = 10): Promise<void> {
  await act(async () => {
    for (let turn = 0; turn < turns; turn += 1) {
      await vi.advanceTimersByTimeAsync(1);
      await new Promise<void>((resolve) => void nextTurn(resolve));
    }
  });
}

async function pass(ms: number, step = 250): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    await act(() => vi.advanceTimersByTimeAsync(step));
    await settle(4);
  }
}

const texts = new WeakMap<Blob, Promise<string>>();

/** What is in the picture, by the address it is shown from. */
function textOf(image: Element): Promise<string> {
  const blob = liveAddresses.get(image.getAttribute('src') ?? '');
  if (blob === undefined) throw new Error('A picture without a live address');
  const known = texts.get(blob) ?? blob.text();
  texts.set(blob, known);
  return known;
}

function find(inside: ParentNode, label: string): HTMLElement | undefined {
  const buttons = [...inside.querySelectorAll<HTMLElement>('button')];
  return buttons.find((each) => (each.getAttribute('aria-label') ?? each.textContent) === label);
}

function pick<T>(from: T[], at: number): T | undefined {
  return from[at % Math.max(from.length, 1)];
}

const isAvailable = (button: Element | undefined) => button?.getAttribute('aria-disabled') !== 'true';

/** How far a card is, in an order that only goes up: attempt, then drawing or not, then percent. */
type Place = [attempt: number, isDrawn: number, percent: number];

function placeOf(bar: Element): Place | null {
  const text = bar.getAttribute('aria-valuetext') ?? '';
  const drawn = /step \d+ of (\d+)/.exec(text)?.[1];
  const queued = /^(\d+)\w\w in line/.exec(text)?.[1];
  if (drawn !== undefined) return [Number(drawn) - STEPS, 1, Number(bar.getAttribute('aria-valuenow'))];
  return queued === undefined ? null : [Number(queued) - LINE, 0, 0];
}

function isBefore(place: Place, other: Place): boolean {
  const at = place.findIndex((part, index) => part !== other[index]);
  return at !== -1 && (place[at] ?? 0) < (other[at] ?? 0);
}

// The attempt is told by numbers that the page shows.
const STEPS = 12;
const LINE = 2;

const GENERATE = 'button[aria-keyshortcuts^="Control+Enter"]';
const COMPLETE = '[data-state="complete"]';
const ENDED = '[data-state="failed"], [data-state="cancelled"]';
/** The cards on which something can be done. */
const WHERE: Record<MoveOf<'on card'>['what'], string> = {
  again: ENDED,
  remove: ENDED,
  cancel: '[data-state="unfinished"]',
  more: COMPLETE,
  'try picture': COMPLETE,
  'break picture': COMPLETE,
  download: COMPLETE,
  tick: COMPLETE,
};

type Expected = { key: string; prompt: string };

class Play {
  private readonly onbrand = new FakeOnbrand();
  private readonly network = new BadNetwork(this.onbrand);
  private page: { unmount: () => void } | undefined;
  /** Newest first, as on the page. */
  private cards: Expected[] = [];
  private readonly keys = new Set<string>();
  private readonly ends = new Map<string, string>();
  private readonly places = new Map<string, Place>();
  private readonly attempts = new Map<string, number>();
  private readonly ticked = new Map<string, Set<number>>();
  private readonly wanted = new Set<string>();

  constructor(private readonly saved: Saved[]) {}

  async open(): Promise<void> {
    this.page = await renderApp();
    await settle();
  }

  close(): void {
    this.page?.unmount();
  }

  async make(next: Move): Promise<void> {
    switch (next.do) {
      case 'press':
        await this.press(next);
        break;
      case 'on card':
        await this.useCard(next);
        break;
      case 'server':
        await this.moveServer(next);
        break;
      case 'fate':
        this.network.next(next.kind, next.fate);
        break;
      case 'release':
        this.network.release(next.which === 'oldest' ? 'oldest' : 'newest');
        break;
      case 'wait':
        this.network.next('poll', next.poll);
        await pass(next.ms);
        break;
      case 'mute':
        this.network.isMute = next.isMute;
        break;
      case 'refresh':
        this.network.next('poll', next.firstPoll);
        await this.refresh();
        break;
    }
    await settle();
    await this.check();
  }

  private async press({ how, prompt, afterMs, fates, firstPoll }: MoveOf<'press'>): Promise<void> {
    await pass(afterMs);
    const [field, button] = [this.one('textarea'), this.one(GENERATE)];
    fireEvent.change(field, { target: { value: prompt } });
    const isPressable = isAvailable(button);
    if (isPressable) {
      fates.forEach((fate) => this.network.next('submit', fate));
      this.network.next('poll', firstPoll);
    }
    if (how.endsWith('click')) fireEvent.click(button);
    else fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true });
    if (isPressable) this.expectCard(prompt);
    if (how === 'held Ctrl+Enter') fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true, repeat: true });
    if (how !== 'double click') return;
    await settle(); // the answer may come between the clicks
    fireEvent.click(button);
  }

  /** A new card is on top, with a key of its own. */
  private expectCard(prompt: string): void {
    const key = storedKeys()[0] ?? '';
    expect(this.keys).not.toContain(key);
    this.keys.add(key);
    this.cards.unshift({ key, prompt });
  }

  private async useCard({ what, card: at, n }: MoveOf<'on card'>): Promise<void> {
    const cards = [...document.querySelectorAll<HTMLElement>('article')];
    const card = pick(cards.filter((each) => each.matches(WHERE[what])), at);
    const run = card && this.cards[cards.indexOf(card)];
    const tile = card?.querySelectorAll('figure')[n - 1];
    if (run === undefined || card === undefined) return;
    switch (what) {
      case 'again':
        await this.again(run, card);
        break;
      case 'more': {
        const button = find(card, 'Generate More');
        if (button === undefined) return;
        const isPressable = isAvailable(button);
        fireEvent.click(button);
        fireEvent.click(button);
        if (isPressable) this.expectCard(run.prompt);
        break;
      }
      case 'cancel':
        click(find(card, 'Cancel'));
        break;
      case 'remove': {
        const button = find(card, 'Remove');
        click(button);
        if (button) this.cards = this.cards.filter((other) => other !== run);
        break;
      }
      case 'try picture':
        click(tile && find(tile, 'Try again'));
        break;
      case 'break picture': {
        const picture = tile?.querySelector('[data-picture] img');
        if (picture) fireEvent.error(picture);
        break;
      }
      case 'download':
        if (!tile?.querySelector('figcaption')) return;
        this.wanted.add(pictureBytes(this.jobOf(run), n));
        click(find(tile, `Download illustration ${n}`));
        break;
      case 'tick': {
        const box = tile?.querySelector('input');
        if (!box) return;
        fireEvent.click(box);
        const ticks = this.ticked.get(run.key) ?? new Set();
        this.ticked.set(run.key, ticks);
        if (!ticks.delete(n)) ticks.add(n);
        break;
      }
    }
  }

  private async again(run: Expected, card: HTMLElement): Promise<void> {
    const button = find(card, 'Try again') ?? find(card, 'Generate again');
    if (button === undefined || !isAvailable(button)) return;
    fireEvent.click(button);
    this.cards = this.cards.filter((other) => other !== run);
    const isSameKey = storedKeys()[0] === run.key;
    // What was refused may have been stored all the same: only with its own key does trying again stay one job.
    expect(isSameKey).toBe(this.refused.has(run.key));
    this.ends.delete(run.key);
    if (isSameKey) this.cards.unshift(run);
    else this.expectCard(run.prompt);
    await settle();
    fireEvent.click(button);
  }

  /** The keys that were refused when the page was last looked at. */
  private readonly refused = new Set<string>();

  private async moveServer({ what, job: at, by }: MoveOf<'server'>): Promise<void> {
    const job = pick([...this.onbrand.jobs.values()].filter((each) => !isFinal(each)), at);
    if (job === undefined) return;
    const { id } = job;
    const attempt = this.attempts.get(id) ?? 1;
    switch (what) {
      case 'draw': {
        const percent = Math.min(job.progress.percent + by, 99);
        const previews = previewsOf(id, percent);
        const place = { phase: 'drawing' as const, step: Math.ceil(percent / 9), steps: STEPS + attempt };
        const progress = { ...place, percent, previews, queue_position: null };
        this.onbrand.update(id, { status: 'processing', progress });
        await settle();
        await this.check();
        // Every other time it has overtaken older news.
        if (by % 2 === 0 && job.status === 'processing') this.onbrand.send(id, job);
        break;
      }
      case 'queue again': {
        const progress = { phase: 'waiting' as const, step: 0, steps: 0, percent: 0, previews: [] };
        this.attempts.set(id, attempt + 1);
        this.onbrand.update(id, { status: 'queued', progress: { ...progress, queue_position: LINE + attempt + 1 } });
        break;
      }
      case 'complete':
        this.onbrand.complete(id, by % 2 === 0 ? job : undefined);
        break;
      case 'fail':
        this.onbrand.fail(id, { code: 'gpu_memory', title: 'Not enough GPU memory', detail: 'Try again.' });
        break;
      case 'hang up':
        this.onbrand.dropStreams(id);
        break;
    }
  }

  private async refresh(): Promise<void> {
    this.close();
    this.network.forget();
    // What a loaded page doesn't keep, it looks up again.
    this.places.clear();
    this.ends.clear();
    this.ticked.clear();
    await this.open();
  }

  private jobOf({ key }: Expected): Job {
    const job = this.onbrand.jobOf(key);
    if (job === undefined) throw new Error('The server knows nothing of this run');
    return job;
  }

  private one(selector: string): Element {
    const found = document.querySelector(selector);
    if (found === null) throw new Error(`No ${selector}`);
    return found;
  }

  async check(): Promise<void> {
    const cards = [...document.querySelectorAll<HTMLElement>('article')];
    expect(cards.map((card) => card.querySelector('h2')?.textContent)).toEqual(this.cards.map(({ prompt }) => prompt));
    expect(storedKeys()).toEqual(this.cards.map(({ key }) => key));
    expect(this.onbrand.jobs.size, 'jobs on the server').toBeLessThanOrEqual(this.keys.size);
    if (storedRuns().some(isUnanswered)) expect(isAvailable(this.one(GENERATE))).toBe(false);
    this.refused.clear();
    for (const [at, card] of cards.entries()) {
      const run = this.cards[at];
      if (run) await this.checkCard(card, run);
    }
    for (const file of this.saved) expect(this.wanted).toContain(new TextDecoder().decode(await file.bytes()));
  }

  private async checkCard(card: HTMLElement, run: Expected): Promise<void> {
    const state = card.dataset['state'] ?? '';
    const [bar, ...others] = card.querySelectorAll('[role="progressbar"]');
    expect(others).toEqual([]);
    expect({ state, hasBar: bar !== undefined, isBusy: card.ariaBusy ?? card.getAttribute('aria-busy') }).toEqual({
      state,
      hasBar: state === 'unfinished',
      isBusy: String(state === 'unfinished'),
    });
    const job = this.onbrand.jobOf(run.key);
    const isRefused = state === 'failed' && card.textContent.includes('Reference req-');
    if (isRefused) this.refused.add(run.key);
    else if (state === 'complete') expect(job?.status).toBe('complete');
    else if (state === 'failed' || state === 'cancelled') expect(job?.status).toBe('failed');
    else expect(state).toBe('unfinished');
    expect(this.ends.get(run.key) ?? state).toBe(state); // an end stays
    if (state !== 'unfinished') this.ends.set(run.key, state);

    const place = bar && placeOf(bar);
    const before = this.places.get(run.key);
    if (bar && before) expect(place && !isBefore(place, before), JSON.stringify({ before, place })).toBe(true);
    if (place) this.places.set(run.key, place);

    const tiles = [...card.querySelectorAll('figure')];
    expect(tiles).toHaveLength(state === 'unfinished' || state === 'complete' ? 4 : 0);
    for (const [at, tile] of tiles.entries()) await this.checkTile(tile, at + 1, state, job, this.ticked.get(run.key));
  }

  private async checkTile(tile: Element, n: number, state: string, job: Job | undefined, ticked?: Set<number>) {
    const pictures = [...tile.querySelectorAll('[data-picture] img')];
    const isInTrouble = find(tile, 'Try again') !== undefined;
    expect(pictures.length + Number(isInTrouble)).toBeLessThanOrEqual(state === 'complete' ? 1 : 0);
    for (const picture of pictures) expect(await textOf(picture)).toBe(job && pictureBytes(job, n));
    const previews = [...tile.querySelectorAll('[data-testid="preview"] img')];
    for (const preview of previews) expect(await textOf(preview)).toMatch(new RegExp(`^preview of ${job?.id} ${n} `));
    const box = tile.querySelector('input');
    if (box) expect(box.checked).toBe(ticked?.has(n) ?? false);
  }

  /** Everything is put right again: now each run that was taken ends with its pictures, and nothing is stuck. */
  async end(): Promise<void> {
    this.network.heal();
    await pass(12_000, 1_000); // the longest pause between two tries is 10 s
    for (const job of this.onbrand.jobs.values()) if (!isFinal(job)) this.onbrand.complete(job.id);
    await pass(3_000, 500);
    document.querySelectorAll('figure').forEach((tile) => click(find(tile, 'Try again')));
    await settle(20);
    await this.check();
    for (const [at, card] of document.querySelectorAll<HTMLElement>('article').entries()) {
      const run = this.cards[at];
      if (run === undefined || this.refused.has(run.key)) continue;
      const isComplete = this.jobOf(run).status === 'complete';
      expect(card.dataset['state'] === 'complete', card.dataset['state']).toBe(isComplete);
      expect(card.querySelectorAll('[data-picture] img')).toHaveLength(isComplete ? 4 : 0);
    }
    expect(isAvailable(this.one(GENERATE))).toBe(true);
  }
}

function click(button: Element | undefined): void {
  if (button) fireEvent.click(button);
}

function storedRuns(): Run[] {
  return parseRuns(JSON.parse(sessionStorage.getItem('onbrand.runs.account-1') ?? '[]'));
}

function storedKeys(): string[] {
  return storedRuns().map(({ key }) => key);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

test('no order of replies, errors and clicks shows two states, loses a result or mixes jobs up', async () => {
  const saved = watchSaving();
  await fc.assert(
    fc.asyncProperty(firstPoll, moves, async (poll, then) => {
      server.resetHandlers();
      sessionStorage.clear();
      saved.length = 0;
      const play = new Play(saved);
      try {
        await play.open();
        await play.make({ do: 'press', how: 'click', prompt: 'a teapot', afterMs: 0, fates: [], firstPoll: poll });
        for (const next of then) await play.make(next);
        await play.end();
      } finally {
        play.close();
        vi.clearAllTimers();
      }
    }),
    { seed: SEED, numRuns: PLAYS, endOnFailure: true },
  );
}, 120_000);
