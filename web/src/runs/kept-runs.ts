/**
 * Keeps runs beyond their tab. A closed tab loses no run: a new tab of the same browser and account begins with the
 * runs of the last three days, from whichever tab they are. The service keeps no list of anybody's jobs.
 *
 * Tabs that are open side by side don't follow each other: each has its own list from its beginning on.
 */
import { forgetInBrowser, keepInBrowser, keptInBrowser } from '../browser-storage';
import { loadFromTab, saveToTab } from '../tab-storage';
import { parseRuns, type Run } from './run';

/** From Friday evening to Monday evening. */
const KEPT_MS = 72 * 60 * 60_000;

/** The key contains the account, so that the next person in this tab neither sees nor sends these runs. */
const tabKey = (accountId: string) => `runs.${accountId}`;

/** The runs of this tab if it has been refreshed, otherwise the runs that the browser keeps. Newest first. */
export function loadRuns(accountId: string): Run[] {
  const ownRuns = loadFromTab(tabKey(accountId));
  if (ownRuns !== undefined) return parseRuns(ownRuns);
  const kept = parseRuns(keptInBrowser(accountId)).sort((a, b) => b.pressedAt - a.pressedAt);
  const oldest = Date.now() - KEPT_MS;
  kept.filter(({ pressedAt }) => pressedAt < oldest).forEach(({ key }) => forgetInBrowser(accountId, key));
  return kept.filter(({ pressedAt }) => pressedAt >= oldest);
}

/** Stores the runs after a change. Writes only what this tab has changed, so that it never undoes another tab. */
export function saveRuns(accountId: string, before: Run[], runs: Run[]): void {
  saveToTab(tabKey(accountId), runs);
  for (const run of runs) if (!before.includes(run)) keepInBrowser(accountId, run.key, run);
  const keys = new Set(runs.map(({ key }) => key));
  for (const { key } of before) if (!keys.has(key)) forgetInBrowser(accountId, key);
}
