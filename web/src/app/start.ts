/** Starts the page: finds the API and gets its configuration, then finds out who is signed in. */
import {
  ApiUnreachable,
  getPageConfig,
  keptPageConfig,
  PageMisconfigured,
  renewPageConfig,
  type Onbrand,
} from '../api/get-page-config';
import { fits, keptSession } from '../auth/kept-session';
import { keptToken, type KeptToken } from '../auth/kept-token';
import type { SignIn } from '../auth/session';

type Failure =
  /** `api` is the API's address if the page's own host answered, and is null if that host didn't. */
  | { kind: 'unreachable'; api: string | null }
  /** Whoever put the page on its host didn't say where the API is. */
  | { kind: 'misconfigured' };

export type Started = (SignIn & { onbrand: Onbrand }) | Failure;

export async function start(): Promise<Started> {
  // MSAL is as large as two thirds of the rest of the page. A page that is loaded again begins without it.
  const kept = keptToken();
  const before = keptPageConfig();
  if (kept !== null && before !== null && fits(kept, before.config.sign_in)) {
    renewPageConfig(before).catch(() => undefined); // every other call says it, too, if nobody answers
    return signedIn(kept, before);
  }
  const early = kept === null ? loadMsal().catch(() => null) : null;
  const onbrand = await getPageConfig().catch(failureOf);
  if ('kind' in onbrand) return onbrand;
  if (kept !== null && fits(kept, onbrand.config.sign_in)) {
    return signedIn(kept, onbrand);
  }
  const loaded = await (early ?? loadMsal().catch(() => null));
  if (loaded === null) return { kind: 'unreachable', api: null };
  return { ...(await loaded.signIn(onbrand.config.sign_in)), onbrand };
}

function signedIn(kept: KeptToken, onbrand: Onbrand): Started {
  return { kind: 'signed-in', session: keptSession(kept, onbrand.config.sign_in, loadMsal), onbrand };
}

const loadMsal = () => import('../auth/msal-session');

function failureOf(error: unknown): Failure {
  if (error instanceof PageMisconfigured) return { kind: 'misconfigured' };
  return { kind: 'unreachable', api: error instanceof ApiUnreachable ? error.origin : null };
}
