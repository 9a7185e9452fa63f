/** Starts the page: gets its configuration, then finds out who is signed in. */
import { getPageConfig, type PageConfig } from '../api/get-page-config';
import type { SignIn } from '../auth/session';

export type Started = (SignIn & { config: PageConfig }) | { kind: 'unreachable' };

export async function start(): Promise<Started> {
  // MSAL is as large as the rest of the page, which is shown without it. index.html names both, so that the browser
  // loads them side by side.
  const session = import('../auth/msal-session').catch(() => null);
  const config = await getPageConfig().catch(() => null);
  const loaded = await session;
  if (config === null || loaded === null) return { kind: 'unreachable' };
  return { ...(await loaded.signIn(config.sign_in)), config };
}
