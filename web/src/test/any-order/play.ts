/**
 * A play: the whole page, the server and a bad network, and what the page must show after each move.
 *
 * It keeps its own list of the cards that the person has made, and compares it with the page and with the server.
 */
import { act, fireEvent } from '@testing-library/react';
import { expect, vi } from 'vitest';
import type { Job } from '../../api/get-job';
import { isFinal } from '../../runs/newer-job';
import { BadNetwork } from '../bad-network';
import { settle } from '../clock';
import type { Download } from '../downloads';
import { FakeOnbrand, pictureBytes, previewsOf, renditionBytes } from '../fake-onbrand';
import { renderApp } from '../render-app';
import type { Move, MoveOf } from './moves';
import {
  findButton,
  isAvailable,
  isBefore,
  LINE,
  pick,
  positionOf,
  STEPS,
  storedKeys,
  storedRuns,
  textOf,
  type Position,
} from './read-page';

async function pass(ms: number, step = 250): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    await act(() => vi.advanceTimersByTimeAsync(step));
    await settle(4, 1);
  }
}

const GENERATE = 'button[aria-keyshortcuts^="Control+Enter"]';
const COMPLETE = '[data-state="complete"]';
const ENDED = '[data-state="failed"], [data-state="cancelled"]';
/** The cards on which each move can be made. */
const WHERE: Record<MoveOf<'on card'>['what'], string> = {
  again: ENDED,
  remove: ENDED,
  cancel: '[data-state="unfinished"]',
  more: COMPLETE,
  'try picture': COMPLETE,
  'break picture': COMPLETE,
  download: COMPLETE,
  select: COMPLETE,
};

/** A card that must be on the page. */
type Expected = { key: string; prompt: string };

export class Play {
  private readonly onbrand = new FakeOnbrand();
  private readonly network = new BadNetwork(this.onbrand);
  private page: { unmount: () => void } | undefined;
  /** Newest first, as on the page. */
  private cards: Expected[] = [];
  private readonly keys = new Set<string>();
  /** The final states that the page has shown, by key. */
  private readonly ends = new Map<string, string>();
  private readonly positions = new Map<string, Position>();
  private readonly attempts = new Map<string, number>();
  private readonly selected = new Map<string, Set<number>>();
  /** The pictures that the person has downloaded. */
  private readonly wanted = new Set<string>();

  constructor(private readonly saved: Download[]) {}

  async open(): Promise<void> {
    this.page = await renderApp();
    await settle(10, 1);
  }

  close(): void {
    this.page?.unmount();
  }

  async make(move: Move): Promise<void> {
    switch (move.do) {
      case 'press':
        await this.press(move);
        break;
      case 'on card':
        await this.useCard(move);
        break;
      case 'server':
        await this.moveServer(move);
        break;
      case 'fate':
        this.network.next(move.kind, move.fate);
        break;
      case 'release':
        this.network.release(move.which === 'oldest' ? 'oldest' : 'newest');
        break;
      case 'wait':
        this.network.next('poll', move.poll);
        await pass(move.ms);
        break;
      case 'mute':
        this.network.isMute = move.isMute;
        break;
      case 'refresh':
        this.network.next('poll', move.firstPoll);
        await this.refresh();
        break;
    }
    await settle(10, 1);
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
    await settle(10, 1); // so that the answer comes between the two clicks
    fireEvent.click(button);
  }

  /** Expects a new card on top, with a new key. */
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
        const button = findButton(card, 'Generate More');
        if (button === undefined) return;
        const isPressable = isAvailable(button);
        fireEvent.click(button);
        fireEvent.click(button);
        if (isPressable) this.expectCard(run.prompt);
        break;
      }
      case 'cancel':
        click(findButton(card, 'Cancel'));
        break;
      case 'remove': {
        const button = findButton(card, 'Remove');
        click(button);
        if (button) this.cards = this.cards.filter((other) => other !== run);
        break;
      }
      case 'try picture':
        click(tile && findButton(tile, 'Try again'));
        break;
      case 'break picture': {
        const picture = tile?.querySelector('[data-picture] img');
        if (picture) fireEvent.error(picture);
        break;
      }
      case 'download':
        if (!tile?.querySelector('figcaption')) return;
        this.wanted.add(pictureBytes(this.jobOf(run), n));
        click(findButton(tile, `Download illustration ${n}`));
        break;
      case 'select': {
        const box = tile?.querySelector('input');
        if (!box) return;
        fireEvent.click(box);
        const numbers = this.selected.get(run.key) ?? new Set();
        this.selected.set(run.key, numbers);
        if (!numbers.delete(n)) numbers.add(n);
        break;
      }
    }
  }

  private async again(run: Expected, card: HTMLElement): Promise<void> {
    const button = findButton(card, 'Try again') ?? findButton(card, 'Generate again');
    if (button === undefined || !isAvailable(button)) return;
    fireEvent.click(button);
    this.cards = this.cards.filter((other) => other !== run);
    const isSameKey = storedKeys()[0] === run.key;
    // The server may have stored a refused request all the same. Only the same key then finds the same job.
    expect(isSameKey).toBe(this.refused.has(run.key));
    this.ends.delete(run.key);
    if (isSameKey) this.cards.unshift(run);
    else this.expectCard(run.prompt);
    await settle(10, 1);
    fireEvent.click(button);
  }

  /** The keys of the runs that the page shows as refused. */
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
        await settle(10, 1);
        await this.check();
        // Every other time, an older state arrives after it.
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
    // A page that was loaded again doesn't remember these; it asks the server.
    this.positions.clear();
    this.ends.clear();
    this.selected.clear();
    await this.open();
  }

  private jobOf({ key }: Expected): Job {
    const job = this.onbrand.jobOf(key);
    if (job === undefined) throw new Error('The server knows nothing of this run');
    return job;
  }

  private isTakenBack({ key }: Expected): boolean {
    return storedRuns().some((run) => run.key === key && run.isTakenBack === true);
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
    this.refused.clear();
    for (const [at, card] of cards.entries()) {
      const run = this.cards[at];
      if (run) await this.checkCard(card, run);
    }
    for (const file of this.saved) expect(this.wanted).toContain(new TextDecoder().decode(await file.bytes()));
  }

  private async checkCard(card: HTMLElement, run: Expected): Promise<void> {
    const isArriving = card.dataset['state'] === 'arriving';
    const state = isArriving ? 'complete' : (card.dataset['state'] ?? '');
    const [bar, ...others] = card.querySelectorAll('[role="progressbar"]');
    expect(others).toEqual([]);
    expect({ state, hasBar: bar !== undefined, isBusy: card.ariaBusy ?? card.getAttribute('aria-busy') }).toEqual({
      state,
      hasBar: state === 'unfinished',
      isBusy: String(state === 'unfinished' || isArriving),
    });
    const job = this.onbrand.jobOf(run.key);
    const isRefused = state === 'failed' && card.textContent.includes('Reference req-');
    if (isRefused) this.refused.add(run.key);
    else if (state === 'complete') expect(job?.status).toBe('complete');
    else if (this.isTakenBack(run)) expect(state).toBe('cancelled');
    else if (state === 'failed' || state === 'cancelled') expect(job?.status).toBe('failed');
    else expect(state).toBe('unfinished');
    expect(this.ends.get(run.key) ?? state).toBe(state); // a final state stays
    if (state !== 'unfinished') this.ends.set(run.key, state);

    const position = bar && positionOf(bar);
    const before = this.positions.get(run.key);
    if (bar && before) expect(position && !isBefore(position, before), JSON.stringify([before, position])).toBe(true);
    if (position) this.positions.set(run.key, position);

    const tiles = [...card.querySelectorAll('figure')];
    expect(tiles).toHaveLength(state === 'unfinished' || state === 'complete' ? 4 : 0);
    for (const [at, tile] of tiles.entries()) {
      await this.checkTile(tile, at + 1, state, job, this.selected.get(run.key));
    }
  }

  private async checkTile(tile: Element, n: number, state: string, job: Job | undefined, selected?: Set<number>) {
    const pictures = [...tile.querySelectorAll('[data-picture] img')];
    const isFailed = findButton(tile, 'Try again') !== undefined;
    expect(pictures.length + Number(isFailed)).toBeLessThanOrEqual(state === 'complete' ? 1 : 0);
    const files = job && [renditionBytes(job, n), pictureBytes(job, n)]; // the PNG in place of a broken rendition
    for (const picture of pictures) expect(files).toContain(await textOf(picture));
    const previews = [...tile.querySelectorAll('[data-testid="preview"] img')];
    for (const preview of previews) expect(await textOf(preview)).toMatch(new RegExp(`^preview of ${job?.id} ${n} `));
    const box = tile.querySelector('input');
    if (box) expect(box.checked).toBe(selected?.has(n) ?? false);
  }

  /** The network works again. Now each accepted run must complete with its pictures, and nothing is stuck. */
  async end(): Promise<void> {
    this.network.heal();
    await pass(12_000, 1_000); // the longest pause between two tries is 10 s
    for (const job of this.onbrand.jobs.values()) if (!isFinal(job)) this.onbrand.complete(job.id);
    await pass(3_000, 500);
    document.querySelectorAll('figure').forEach((tile) => click(findButton(tile, 'Try again')));
    await settle(20, 1);
    await this.check();
    for (const [at, card] of document.querySelectorAll<HTMLElement>('article').entries()) {
      const run = this.cards[at];
      if (run === undefined || this.refused.has(run.key)) continue;
      if (this.isTakenBack(run)) continue;
      const isComplete = this.jobOf(run).status === 'complete';
      expect(card.dataset['state'] === 'complete', card.dataset['state']).toBe(isComplete);
      expect(card.querySelectorAll('[data-picture] img')).toHaveLength(isComplete ? 4 : 0);
    }
    expect(isAvailable(this.one(GENERATE))).toBe(true);
  }
}
const click = (button: Element | undefined) => button && fireEvent.click(button);
