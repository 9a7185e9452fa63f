/** Starts the page: gets its configuration, then finds out who is signed in. */
import { getPageConfig, type PageConfig } from '../api/get-page-config';
import { signIn } from '../auth/msal-session';
import type { SignIn } from '../auth/session';

export type Started = (SignIn & { config: PageConfig }) | { kind: 'unreachable' };

export async function start(): Promise<Started> {
  const config = await getPageConfig().catch(() => null);
  if (config === null) return { kind: 'unreachable' };
  return { ...(await signIn(config.sign_in)), config };
}
