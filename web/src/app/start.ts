/** Starts the page: finds the API and gets its configuration, then finds out who is signed in. */
import { ApiUnreachable, getPageConfig, PageMisconfigured, type Onbrand } from '../api/get-page-config';
import type { SignIn } from '../auth/session';

type Failure =
  /** `api` is the API's address if the page's own host answered, and is null if that host didn't. */
  | { kind: 'unreachable'; api: string | null }
  /** Whoever put the page on its host didn't say where the API is. */
  | { kind: 'misconfigured' };

export type Started = (SignIn & { onbrand: Onbrand }) | Failure;

export async function start(): Promise<Started> {
  // MSAL is as large as the rest of the page, which is shown without it. index.html names both, so that the browser
  // loads them side by side.
  const session = import('../auth/msal-session').catch(() => null);
  const onbrand = await getPageConfig().catch(failureOf);
  if ('kind' in onbrand) return onbrand;
  const loaded = await session;
  if (loaded === null) return { kind: 'unreachable', api: null };
  return { ...(await loaded.signIn(onbrand.config.sign_in)), onbrand };
}

function failureOf(error: unknown): Failure {
  if (error instanceof PageMisconfigured) return { kind: 'misconfigured' };
  return { kind: 'unreachable', api: error instanceof ApiUnreachable ? error.origin : null };
}
