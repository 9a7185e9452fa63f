/**
 * A session that begins with the kept token. MSAL is loaded when the token must be renewed, when the person signs out,
 * or some seconds later, when the page has become quiet.
 */
import { ApiProblem, ConnectionLost } from '../api/problem';
import type { PageConfig } from '../api/get-page-config';
import { forgetAccount } from '../browser-storage';
import { clearWholeTab, saveToTab } from '../tab-storage';
import { strings } from '../ui/strings';
import { isGood, type KeptToken } from './kept-token';
import { SIGNED_OUT, type Session, type SignIn } from './session';

const MSAL_LATER_MS = 10_000;

type Msal = { signIn: (config: PageConfig['sign_in']) => Promise<SignIn> };

/** Whether the token was issued by this sign-in service, for this page. */
export function fits(kept: KeptToken, config: PageConfig['sign_in']): boolean {
  return kept.clientId === config.client_id && kept.authority === config.authority && kept.scope === config.scope;
}

/** `loadMsal` is called `MSAL_LATER_MS` after the page began or sooner; again after it has failed. */
export function keptSession(kept: KeptToken, config: PageConfig['sign_in'], loadMsal: () => Promise<Msal>): Session {
  let loading: Promise<Session> | null = null;

  /** Throws ConnectionLost if MSAL can't be loaded, and ApiProblem 401 if it knows nobody. */
  async function session(): Promise<Session> {
    loading ??= load().catch((error: unknown) => {
      loading = null;
      throw error;
    });
    return loading;
  }

  async function load(): Promise<Session> {
    const msal = await loadMsal().catch((error: unknown) => {
      throw new ConnectionLost(error);
    });
    const outcome = await msal.signIn(config);
    if (outcome.kind === 'signed-in') return outcome.session;
    const { stuckTitle: title, stuckDetail: detail } = strings.signIn;
    const requestId = outcome.kind === 'failed' ? outcome.reference : outcome.kind;
    throw new ApiProblem({ status: 401, code: 'sign_in_stuck', title, detail, requestId });
  }

  setTimeout(() => void session().catch(() => undefined), MSAL_LATER_MS);

  function then(act: (session: Session) => void): void {
    // What can't be done without MSAL is tried again by a page that begins anew.
    session().then(act, () => window.location.reload());
  }

  /** The sign-out where MSAL can't be loaded: the tab forgets everything. The sign-in service isn't told. */
  function leave(): void {
    clearWholeTab();
    forgetAccount(kept.account.id);
    saveToTab(SIGNED_OUT, true);
    window.location.reload();
  }

  return {
    account: kept.account,
    getToken: async ({ forceRefresh }) => {
      if (!forceRefresh && loading === null && isGood(kept)) return kept.token;
      return (await session()).getToken({ forceRefresh });
    },
    signInAgain: () => then((one) => one.signInAgain()),
    useAnotherAccount: () => then((one) => one.useAnotherAccount()),
    signOut: () => void session().then((one) => one.signOut(), leave),
  };
}
