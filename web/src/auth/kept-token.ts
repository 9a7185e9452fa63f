/**
 * The latest access token, beside MSAL's own store in the same `sessionStorage`, so that a page that is loaded again
 * can begin before MSAL is here. It leaves with MSAL's: at every sign-in, and at the sign-out.
 */
import { forgetInTab, loadFromTab, saveToTab } from '../tab-storage';
import type { Session } from './session';

const KEY = 'token';
/** MSAL renews a token so long before its end, too. */
const LEAST_LEFT_MS = 300_000;

export type KeptToken = {
  token: string;
  /** When it ends, in milliseconds since 1970. */
  endsAt: number;
  /** For whom, at which sign-in service, and for what it was issued. */
  clientId: string;
  authority: string;
  scope: string;
  account: Session['account'];
};

export function keepToken(kept: KeptToken): void {
  saveToTab(KEY, kept);
}

export function forgetToken(): void {
  forgetInTab(KEY);
}

/** The token that is kept, unless it ends soon. */
export function keptToken(now = Date.now()): KeptToken | null {
  const kept = loadFromTab(KEY);
  return isKeptToken(kept) && isGood(kept, now) ? kept : null;
}

/** Whether the token is good for some minutes more. */
export function isGood({ endsAt }: KeptToken, now = Date.now()): boolean {
  return endsAt - now > LEAST_LEFT_MS;
}

function isKeptToken(found: unknown): found is KeptToken {
  if (typeof found !== 'object' || found === null) return false;
  const { token, endsAt, clientId, authority, scope, account } = found as Partial<KeptToken>;
  const texts = [token, clientId, authority, scope, account?.id, account?.name, account?.username];
  return typeof endsAt === 'number' && texts.every((text) => typeof text === 'string');
}
