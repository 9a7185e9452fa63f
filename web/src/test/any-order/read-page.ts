/** Reads the rendered page for `any-order.test.tsx`. Testing Library's queries would be too slow for so many reads. */
import { parseRuns, type Run } from '../../runs/run';
import { liveUrls } from '../object-urls';

const texts = new WeakMap<Blob, Promise<string>>();

/** The bytes of a picture on the page, as text. */
export function textOf(image: Element): Promise<string> {
  const blob = liveUrls.get(image.getAttribute('src') ?? '');
  if (blob === undefined) throw new Error('A picture without a live object URL');
  const known = texts.get(blob) ?? blob.text();
  texts.set(blob, known);
  return known;
}

export function findButton(inside: ParentNode, label: string): HTMLElement | undefined {
  const buttons = [...inside.querySelectorAll<HTMLElement>('button')];
  return buttons.find((each) => (each.getAttribute('aria-label') ?? each.textContent) === label);
}

export function pick<T>(from: T[], at: number): T | undefined {
  return from[at % Math.max(from.length, 1)];
}

export const isAvailable = (button: Element | undefined) => button?.getAttribute('aria-disabled') !== 'true';

/** How far a run is. It may only grow: first the attempt, then whether it is drawn, then the percent. */
export type Position = [attempt: number, isDrawn: number, percent: number];

export function positionOf(bar: Element): Position | null {
  const text = bar.getAttribute('aria-valuetext') ?? '';
  const drawn = /step \d+ of (\d+)/.exec(text)?.[1];
  const queued = /^(\d+)\w\w in line/.exec(text)?.[1];
  if (drawn !== undefined) return [Number(drawn) - STEPS, 1, Number(bar.getAttribute('aria-valuenow'))];
  return queued === undefined ? null : [Number(queued) - LINE, 0, 0];
}

export function isBefore(position: Position, other: Position): boolean {
  const at = position.findIndex((part, index) => part !== other[index]);
  return at !== -1 && (position[at] ?? 0) < (other[at] ?? 0);
}

// The server of this test adds the attempt to these numbers. So the page shows which attempt a state belongs to.
export const STEPS = 12;
export const LINE = 2;

export function storedRuns(): Run[] {
  return parseRuns(JSON.parse(sessionStorage.getItem('onbrand.runs.account-1') ?? '[]'));
}

export function storedKeys(): string[] {
  return storedRuns().map(({ key }) => key);
}
