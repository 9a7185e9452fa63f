/**
 * Finds Onbrand's API, and gets what the page needs before anybody is signed in. These are the only calls without a
 * token.
 *
 * If the API serves the page, `/config.json` is the API's own answer. A static host has a file of that name, which says
 * only where the API is: `{"api": "https://…"}`. The page then asks there.
 */
import { ConnectionLost, readProblem } from './problem';
import { loadFromTab, saveToTab } from '../tab-storage';
import type { components } from './schema';

export type PageConfig = components['schemas']['PageConfig'];

/** `origin` is the address of the API. */
export type Onbrand = { origin: string; config: PageConfig };

/** The page's own host was set up wrongly: its `/config.json` is missing, or names no address of an API. */
export class PageMisconfigured extends Error {}

/** The page's own host answered, but the API at the address that it named did not, or refuses this page. */
export class ApiUnreachable extends Error {
  constructor(readonly origin: string) {
    super(`No answer from ${origin}`);
  }
}

const KEY = 'config';

/** What this build of the page was told in this tab before, so that a page that is loaded again needs not wait. */
export function keptPageConfig(): Onbrand | null {
  const kept = loadFromTab(KEY);
  if (typeof kept !== 'object' || kept === null) return null;
  const { build, onbrand } = kept as { build?: unknown; onbrand?: Onbrand };
  return build === import.meta.url && onbrand !== undefined ? onbrand : null;
}

/** Asks again after the page has begun with what was kept. A page whose API or sign-in has changed begins anew. */
export async function renewPageConfig(kept: Onbrand): Promise<void> {
  const { origin, config } = await getPageConfig();
  const isSame = origin === kept.origin && JSON.stringify(config.sign_in) === JSON.stringify(kept.config.sign_in);
  if (!isSame) window.location.reload();
}

/** Throws PageMisconfigured, ApiUnreachable, or ConnectionLost if not even the page's own host answers. */
export async function getPageConfig(): Promise<Onbrand> {
  const own = window.location.origin;
  const found = await read(own);
  if (isPageConfig(found)) return keep({ origin: own, config: found });
  const origin = apiOrigin(found);
  // A browser doesn't tell why it got nothing: no such address, an API that doesn't allow this page, or an outage.
  const config = await read(origin).catch(() => null);
  if (!isPageConfig(config)) throw new ApiUnreachable(origin);
  return keep({ origin, config });
}

function keep(onbrand: Onbrand): Onbrand {
  saveToTab(KEY, { build: import.meta.url, onbrand });
  return onbrand;
}

async function read(origin: string): Promise<unknown> {
  const response = await fetch(`${origin}/config.json`, { cache: 'no-store' }).catch((error: unknown) => {
    throw new ConnectionLost(error);
  });
  // A host without the file answers 404, or with its start page in place of the file.
  if (!response.ok && response.status !== 404) throw new ConnectionLost(await readProblem(response));
  const answer: unknown = await response.json().catch(() => null);
  return answer;
}

function isPageConfig(found: unknown): found is PageConfig {
  return typeof found === 'object' && found !== null && 'sign_in' in found;
}

function apiOrigin(found: unknown): string {
  const named: unknown = typeof found === 'object' && found !== null ? Reflect.get(found, 'api') : undefined;
  const url = typeof named === 'string' && URL.canParse(named) ? new URL(named) : null;
  // http is for this machine, where developers and tests run both.
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isThisMachine(url.hostname));
  if (url === null || !isSafe || url.href !== `${url.origin}/`) {
    throw new PageMisconfigured("The page's config.json names no address of an API");
  }
  return url.origin;
}

function isThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '127.0.0.1';
}
