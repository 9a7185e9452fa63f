/** A page that is loaded again begins with the kept token, and with MSAL only when that isn't enough. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiProblem, ConnectionLost } from '../api/problem';
import { PAGE_CONFIG } from '../test/fake-onbrand';
import { fakeSession } from '../test/render-app';
import { fits, keptSession } from './kept-session';
import { forgetToken, keepToken, keptToken, type KeptToken } from './kept-token';
import type { SignIn } from './session';

const CONFIG = PAGE_CONFIG.sign_in;
const HOUR = 3_600_000;
const ACCOUNT = { id: 'account-1', name: 'Studio member', username: 'member@studio.example' };

function kept(changed: Partial<KeptToken> = {}): KeptToken {
  const { client_id: clientId, authority, scope } = CONFIG;
  return { token: 'kept', endsAt: Date.now() + HOUR, clientId, authority, scope, account: ACCOUNT, ...changed };
}

const msalFor = (outcome: SignIn) => vi.fn(() => Promise.resolve({ signIn: () => Promise.resolve(outcome) }));

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('a kept token is found again until shortly before its end', () => {
  expect(keptToken()).toBeNull();
  keepToken(kept());
  expect(keptToken()).toEqual(kept());
  expect(keptToken(Date.now() + HOUR - 200_000)).toBeNull();
  forgetToken();
  expect(keptToken()).toBeNull();
});

test.each([[{}], ['token'], [null], [{ ...kept(), endsAt: '1' }], [{ ...kept(), account: { id: 'a' } }]])(
  'what an older version may have written is no token: %j',
  (written) => {
    sessionStorage.setItem('onbrand.token', JSON.stringify(written));
    expect(keptToken()).toBeNull();
  },
);

test.each([{ clientId: 'another' }, { authority: 'https://elsewhere.example' }, { scope: 'another' }])(
  'a token of another sign-in is not used: %j',
  (changed) => {
    expect(fits(kept(), CONFIG)).toBe(true);
    expect(fits(kept(changed), CONFIG)).toBe(false);
  },
);

test('as long as the token is good, MSAL is not asked', async () => {
  const loadMsal = msalFor({ kind: 'signed-in', session: fakeSession(ACCOUNT) });
  const session = keptSession(kept(), CONFIG, loadMsal);
  expect(session.account).toEqual(ACCOUNT);
  expect(await session.getToken({ forceRefresh: false })).toBe('kept');
  expect(loadMsal).not.toHaveBeenCalled();
});

test('a token that is refused or ends soon is renewed by MSAL, which then gives all of them', async () => {
  const loadMsal = msalFor({ kind: 'signed-in', session: fakeSession(ACCOUNT) });
  const session = keptSession(kept({ endsAt: Date.now() + 2 * 60_000 }), CONFIG, loadMsal);
  expect(await session.getToken({ forceRefresh: false })).toBe('token');
  const refused = keptSession(kept(), CONFIG, loadMsal);
  expect(await refused.getToken({ forceRefresh: true })).toBe('fresh');
  expect(await refused.getToken({ forceRefresh: false })).toBe('token');
  expect(loadMsal).toHaveBeenCalledTimes(2); // once for each session
});

test('MSAL comes by itself once the page is quiet', async () => {
  const loadMsal = msalFor({ kind: 'signed-in', session: fakeSession(ACCOUNT) });
  keptSession(kept(), CONFIG, loadMsal);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(loadMsal).toHaveBeenCalledOnce();
});

test('without MSAL a renewal is a lost connection, and the next one tries again', async () => {
  const loadMsal = vi.fn(() => Promise.reject(new Error('offline')));
  const session = keptSession(kept(), CONFIG, loadMsal);
  for (const times of [1, 2]) {
    await expect(session.getToken({ forceRefresh: true })).rejects.toBeInstanceOf(ConnectionLost);
    expect(loadMsal).toHaveBeenCalledTimes(times);
  }
});

test.each<SignIn>([
  { kind: 'failed', reference: 'AADSTS50058', signIn: vi.fn() },
  { kind: 'signed-out', signIn: vi.fn() },
])('a person whom MSAL does not know must sign in again: $kind', async (outcome) => {
  const session = keptSession(kept(), CONFIG, msalFor(outcome));
  const refusal = await session.getToken({ forceRefresh: true }).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(ApiProblem);
  expect((refusal as ApiProblem).problem).toMatchObject({ status: 401, code: 'sign_in_stuck' });
});

test('buttons wait for MSAL', async () => {
  const real = fakeSession(ACCOUNT);
  const session = keptSession(kept(), CONFIG, msalFor({ kind: 'signed-in', session: real }));
  session.signInAgain();
  session.useAnotherAccount();
  session.signOut();
  await vi.waitFor(() => expect(real.signOut).toHaveBeenCalledOnce());
  expect(real.signInAgain).toHaveBeenCalledOnce();
  expect(real.useAnotherAccount).toHaveBeenCalledOnce();
});

test('a sign-out without MSAL leaves nothing in the tab', async () => {
  const reload = vi.fn();
  vi.stubGlobal('location', { reload });
  keepToken(kept());
  sessionStorage.setItem('msal.token', 'secret');
  const session = keptSession(kept(), CONFIG, () => Promise.reject(new Error('offline')));
  session.signOut();
  await vi.waitFor(() => expect(reload).toHaveBeenCalledOnce());
  expect(Object.keys(sessionStorage)).toEqual(['onbrand.signed-out']);
  vi.unstubAllGlobals();
});
