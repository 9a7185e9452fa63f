/**
 * Signs people in with Microsoft Entra ID, or with the local stand-in, by redirect. This is the only file that uses
 * MSAL; MSAL itself is unmodified.
 *
 * Answers from the sign-in service arrive at auth.html (`redirect-bridge.ts`). MSAL 5 needs such a page for its hidden
 * frames, and so only one redirect address has to be registered.
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
import { forgetAccount } from '../browser-storage';
import { clearTab, loadFromTab, saveToTab } from '../tab-storage';
import { strings } from '../ui/strings';
import { mayRedirect } from './redirect-guard';
import { forgetToken, keepToken } from './kept-token';
import { SIGNED_OUT, type Session, type SignIn } from './session';

// MSAL's codes for "the sign-in service couldn't be reached". The page tries again and doesn't leave for the sign-in.
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

/** Finds out who is signed in. If nobody is, the browser leaves for the sign-in, and the promise never settles. */
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
  const startSignIn = (prompt?: 'select_account') => {
    forgetToken(); // the next one may be another person's
    return msal.loginRedirect({ scopes, ...(prompt && { prompt }) });
  };
  const retry = () => void startSignIn();
  try {
    await msal.initialize();
    const answer = await msal.handleRedirectPromise();
    const account = answer?.account ?? msal.getActiveAccount() ?? msal.getAllAccounts()[0];
    if (account) return { kind: 'signed-in', session: sessionOf(msal, account, config, startSignIn) };
    if (loadFromTab(SIGNED_OUT) === true) {
      clearTab();
      // MSAL keeps the answer to the sign-out. It would take it for the answer to the next sign-in (state_mismatch).
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
  config: PageConfig['sign_in'],
  startSignIn: (prompt?: 'select_account') => Promise<void>,
): Session {
  msal.setActiveAccount(account);
  const scopes = [config.scope];
  const person = { id: account.homeAccountId, name: account.name ?? account.username, username: account.username };
  let redirecting: Promise<never> | null = null;

  async function getToken({ forceRefresh }: { forceRefresh: boolean }): Promise<string> {
    try {
      const { accessToken, expiresOn } = await msal.acquireTokenSilent({ scopes, account, forceRefresh });
      const { client_id: clientId, authority, scope } = config;
      const endsAt = expiresOn?.getTime() ?? 0;
      keepToken({ token: accessToken, endsAt, clientId, authority, scope, account: person });
      return accessToken;
    } catch (error) {
      // Offline, a redirect would end on the browser's own error page.
      if (isUnreachable(error) || !navigator.onLine) throw new ConnectionLost(error);
      if (redirecting === null && !mayRedirect()) throw renewalFailed(error);
      // Several calls may need a token at the same time, but only one of them may redirect.
      forgetToken();
      redirecting ??= msal.acquireTokenRedirect({ scopes, account }).then(never, (refusal: unknown) => {
        redirecting = null;
        throw renewalFailed(refusal);
      });
      return redirecting;
    }
  }

  return {
    account: person,
    getToken,
    signInAgain: () => void startSignIn(),
    useAnotherAccount: () => void startSignIn('select_account'),
    signOut: () => {
      clearTab();
      forgetAccount(account.homeAccountId);
      saveToTab(SIGNED_OUT, true);
      // MSAL empties its cache even if the sign-in service can't be reached. The reload then shows "signed out".
      msal.logoutRedirect({ account }).catch(() => window.location.reload());
    },
  };
}

function isUnreachable(error: unknown): boolean {
  return (
    error instanceof AuthError && !(error instanceof InteractionRequiredAuthError) && UNREACHABLE.has(error.errorCode)
  );
}

function renewalFailed(error: unknown): ApiProblem {
  const { stuckTitle: title, stuckDetail: detail } = strings.signIn;
  return new ApiProblem({ status: 401, code: 'sign_in_stuck', title, detail, requestId: referenceOf(error) });
}

/** Entra's error number if there is one, otherwise MSAL's code. The service's own sentence isn't shown. */
function referenceOf(error: unknown): string {
  if (!(error instanceof AuthError)) return 'unknown';
  return /AADSTS\d+/.exec(error.errorMessage)?.[0] ?? error.errorCode;
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
