/**
 * Signing in with Microsoft Entra ID (or the local stand-in) through unmodified MSAL, by redirect.
 *
 * The only file that knows MSAL. Answers come back through auth.html (`redirect-bridge`), which MSAL 5 needs for its
 * silent frames; one redirect address is then all that has to be registered.
 */
import {
  AuthError,
  BrowserCacheLocation,
  InteractionRequiredAuthError,
  PublicClientApplication,
  type AccountInfo,
} from '@azure/msal-browser';
import { ApiProblem, ConnectionLost } from '../api/problem';
import type { PageConfig } from '../api/get-page-config';
import { forgetAll, recall, remember } from '../tab-storage';
import { strings } from '../ui/strings';
import { mayRedirect } from './redirect-guard';
import type { Session, SignIn } from './session';

const SIGNED_OUT = 'signed-out';

// MSAL's codes for "the sign-in service couldn't be reached": worth another try, not worth leaving the page.
const UNREACHABLE = new Set([
  'no_network_connectivity',
  'post_request_failed',
  'get_request_failed',
  'network_error',
  'failed_to_parse_response',
  'endpoints_resolution_error',
  'openid_config_error',
  'temporarily_unavailable',
  'server_error',
]);

/** Settles who is signed in. Without anybody, the browser leaves for the sign-in and this never resolves. */
export async function signIn(config: PageConfig['sign_in']): Promise<SignIn> {
  const bridge = `${window.location.origin}/auth.html`;
  const msal = new PublicClientApplication({
    auth: {
      clientId: config.client_id,
      authority: config.authority,
      knownAuthorities: config.known_authorities,
      ...(config.authority_metadata !== null && { authorityMetadata: config.authority_metadata }),
      redirectUri: bridge,
      postLogoutRedirectUri: bridge,
    },
    cache: { cacheLocation: BrowserCacheLocation.SessionStorage },
  });
  const scopes = [config.scope];
  const startSignIn = (prompt?: 'select_account') => msal.loginRedirect({ scopes, ...(prompt && { prompt }) });
  const retry = () => void startSignIn();
  try {
    await msal.initialize();
    const answer = await msal.handleRedirectPromise();
    const account = answer?.account ?? msal.getActiveAccount() ?? msal.getAllAccounts()[0];
    if (account) return { kind: 'signed-in', session: sessionOf(msal, account, scopes, startSignIn) };
    if (recall(SIGNED_OUT) === true) {
      forgetAll();
      // MSAL leaves the sign-out's answer behind and would take it for the next sign-in's (state_mismatch).
      await msal.clearCache();
      return { kind: 'signed-out', signIn: retry };
    }
    if (!mayRedirect()) return { kind: 'failed', reference: 'redirect_loop', signIn: retry };
    await startSignIn();
    return await never();
  } catch (error) {
    return { kind: 'failed', reference: referenceOf(error), signIn: retry };
  }
}

function sessionOf(
  msal: PublicClientApplication,
  account: AccountInfo,
  scopes: string[],
  startSignIn: (prompt?: 'select_account') => Promise<void>,
): Session {
  msal.setActiveAccount(account);
  let leaving: Promise<never> | null = null;

  async function getToken({ forceRefresh }: { forceRefresh: boolean }): Promise<string> {
    try {
      return (await msal.acquireTokenSilent({ scopes, account, forceRefresh })).accessToken;
    } catch (error) {
      // Leaving the page while offline would end on the browser's own error page.
      if (isUnreachable(error) || !navigator.onLine) throw new ConnectionLost(error);
      if (leaving === null && !mayRedirect()) throw stuck(error);
      // Several calls may need a token at once; the page is left once.
      leaving ??= msal.acquireTokenRedirect({ scopes, account }).then(never, (refusal: unknown) => {
        leaving = null;
        throw stuck(refusal);
      });
      return leaving;
    }
  }

  return {
    account: { id: account.homeAccountId, name: account.name ?? account.username, username: account.username },
    getToken,
    signInAgain: () => void startSignIn(),
    useAnotherAccount: () => void startSignIn('select_account'),
    signOut: () => {
      forgetAll();
      remember(SIGNED_OUT, true);
      // MSAL has emptied its cache even if the sign-in service can't be reached; the reload then shows it.
      msal.logoutRedirect({ account }).catch(() => window.location.reload());
    },
  };
}

function isUnreachable(error: unknown): boolean {
  return (
    error instanceof AuthError && !(error instanceof InteractionRequiredAuthError) && UNREACHABLE.has(error.errorCode)
  );
}

function stuck(error: unknown): ApiProblem {
  const { stuckTitle: title, stuckDetail: detail } = strings.signIn;
  return new ApiProblem({ status: 401, code: 'sign_in_stuck', title, detail, requestId: referenceOf(error) });
}

/** Entra's number if it gave one: the text around it is the service's, not ours to show. */
function referenceOf(error: unknown): string {
  if (!(error instanceof AuthError)) return 'unknown';
  return /AADSTS\d+/.exec(error.errorMessage)?.[0] ?? error.errorCode;
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
