/** Signing in, being refused, and signing out. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test, vi } from 'vitest';
import { liveUrls } from '../test/object-urls';
import { FakeOnbrand, MEMBER, ONBRAND, problem } from '../test/fake-onbrand';
import {
  expectAnnounced,
  fakeSession,
  generateButton,
  promptField,
  renderApp,
  renderStarted,
} from '../test/render-app';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const DRAFT = JSON.stringify({ accountId: 'account-1', text: 'a teapot' });
const REFUSAL = { code: 'not_in_group', title: "Not in the studio's group", detail: 'Ask the studio to add you.' };

test('during the sign-in the page says so, and that the prompt is kept', async () => {
  sessionStorage.setItem('onbrand.draft', DRAFT);
  await renderStarted(new Promise(() => undefined));
  expect(await screen.findByText('Signing you in…')).toBeInTheDocument();
  expect(screen.getByText('Your prompt is kept.')).toBeInTheDocument();
  expect(screen.getByText('a teapot')).toBeInTheDocument();
});

test('the draft of one person is not shown to the next person in the same tab', async () => {
  sessionStorage.setItem('onbrand.draft', DRAFT);
  await renderApp(fakeSession({ id: 'account-2', name: 'Another member', username: 'another@studio.example' }));
  expect(await promptField()).toHaveValue('');
});

test('after a failed sign-in the page says so and waits for a click', async () => {
  const signIn = vi.fn();
  const { user } = await renderStarted(
    Promise.resolve({ kind: 'failed', reference: 'AADSTS65004', signIn, onbrand: ONBRAND }),
  );
  expect(await screen.findByRole('heading', { name: "The sign-in didn't finish" })).toBeInTheDocument();
  expect(screen.getByText('Reference AADSTS65004')).toBeInTheDocument();
  expect(signIn).not.toHaveBeenCalled();
  await user.click(screen.getByRole('button', { name: 'Sign in again' }));
  expect(signIn).toHaveBeenCalledOnce();
});

test('after the sign-out the page offers a sign-in and does not start it by itself', async () => {
  const signIn = vi.fn();
  const { user } = await renderStarted(Promise.resolve({ kind: 'signed-out', signIn, onbrand: ONBRAND }));
  expect(await screen.findByRole('heading', { name: "You're signed out" })).toBeInTheDocument();
  expect(signIn).not.toHaveBeenCalled();
  await user.click(screen.getByRole('button', { name: 'Sign in' }));
  expect(signIn).toHaveBeenCalledOnce();
});

test('without its configuration the page says that Onbrand cannot be reached', async () => {
  await renderStarted(Promise.resolve({ kind: 'unreachable', api: null }));
  expect(await screen.findByRole('heading', { name: "Onbrand can't be reached" })).toBeInTheDocument();
});

test('a page whose host does not say where Onbrand is tells that in a sentence', async () => {
  await renderStarted(Promise.resolve({ kind: 'misconfigured' }));
  expect(await screen.findByRole('heading', { name: "This page isn't set up yet" })).toBeInTheDocument();
  expect(screen.getByText(/config\.json doesn't say where Onbrand's server is\./)).toBeInTheDocument();
});

test('a page that gets no answer from the address in its configuration names that address', async () => {
  await renderStarted(Promise.resolve({ kind: 'unreachable', api: 'https://api.studio.example' }));
  expect(await screen.findByText(/its server at https:\/\/api\.studio\.example doesn't answer/)).toBeInTheDocument();
});

test('the header shows the current style, and whether it has been reviewed', async () => {
  const style = { name: 'Sample brand', version: '1', reviewed: false, examples: [], signed_by: null, signed_at: null };
  onbrand.me = { ...MEMBER, style };
  await renderApp();
  expect(await screen.findByText('Sample brand v1')).toBeInTheDocument();
  expect(screen.getByText(/^not reviewed/)).toBeInTheDocument();
});

test('the header says who approved the style and when, or who rejected it', async () => {
  const { unmount } = await renderApp();
  expect(await screen.findByText('House style v3')).toBeInTheDocument();
  expect(screen.getByText('approved 12 Jan by Mio Ito')).toBeInTheDocument();
  unmount();
  onbrand.me = { ...MEMBER, style: MEMBER.style && { ...MEMBER.style, reviewed: false } };
  await renderApp();
  expect(await screen.findByText('rejected 12 Jan by Mio Ito')).toBeInTheDocument();
});

test('a style that was taken back is told until the notice is closed', async () => {
  onbrand.me = {
    ...MEMBER,
    taken_back: { name: 'House style', version: '4', by: 'Mio Ito', at: '2026-01-20T09:00:00Z' },
  };
  const { user, unmount } = await renderApp();
  const notice = await screen.findByRole('complementary', { name: 'House style v4' });
  const told = 'Mio Ito rejected House style v4 on 20 Jan, so the style before it is used again.';
  expect(notice).toHaveTextContent(told);
  await expectAnnounced(told);
  await user.click(within(notice).getByRole('button', { name: 'Close' }));
  expect(notice).not.toBeInTheDocument();
  unmount();
  await renderApp();
  expect(await promptField()).toBeInTheDocument();
  expect(screen.queryByRole('complementary', { name: 'House style v4' })).not.toBeInTheDocument();
});

test('a person outside the group sees the reason and a text to send, and no composer', async () => {
  onbrand.me = { ...MEMBER, may_generate: false, refusal: REFUSAL, style: null };
  const session = fakeSession();
  const { user } = await renderApp(session);
  expect(await screen.findByRole('heading', { name: REFUSAL.title })).toBeInTheDocument();
  expect(screen.getByText('Signed in as member@studio.example')).toBeInTheDocument();
  expect(screen.getByText(REFUSAL.detail)).toBeInTheDocument();
  expect(screen.queryByLabelText('Describe the illustration')).not.toBeInTheDocument();

  const copying = vi.spyOn(navigator.clipboard, 'writeText');
  await user.click(screen.getByRole('button', { name: 'Copy request text' }));
  expect(await screen.findByRole('button', { name: 'Copied' })).toBeInTheDocument();
  expect(copying.mock.lastCall?.[0]).toMatch(/member@studio.example .*\(not_in_group\)/);
  await user.click(screen.getByRole('button', { name: 'Use another account' }));
  expect(session.useAnotherAccount).toHaveBeenCalledOnce();
});

test('if the browser refuses to copy, the page asks the person to select the text', async () => {
  onbrand.me = { ...MEMBER, may_generate: false, refusal: REFUSAL, style: null };
  const { user } = await renderApp();
  await screen.findByRole('heading', { name: REFUSAL.title });
  vi.spyOn(navigator.clipboard, 'writeText').mockRejectedValue(new Error('refused'));
  await user.click(screen.getByRole('button', { name: 'Copy request text' }));
  expect(await screen.findByText(/Select the text and copy it/, { selector: 'p' })).toBeInTheDocument();
  await expectAnnounced(/Select the text and copy it/);
});

test('the text to send says what the administrator has to do, and the page itself does not', async () => {
  const refusal = { ...REFUSAL, code: 'group_overage', detail: 'Ask your administrator for access.' };
  onbrand.me = { ...MEMBER, may_generate: false, refusal, style: null };
  await renderApp();
  expect(await screen.findByText(/^Please give .* access .*emit only the groups assigned to it/)).toBeInTheDocument();
});

test('a 403 from any call shows the same page, and the prompt is kept', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(403, REFUSAL.code, REFUSAL.title, REFUSAL.detail));
  const { user } = await renderApp();
  await user.type(await promptField(), 'a teapot');
  await user.click(generateButton());
  expect(await screen.findByRole('heading', { name: REFUSAL.title })).toBeInTheDocument();
  expect(screen.queryByRole('textbox')).not.toBeInTheDocument();
  expect(sessionStorage.getItem('onbrand.draft')).toBe(DRAFT);
});

test('if the API refuses a token once, the page renews it and repeats the call', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(401, 'token_expired', 'Sign-in expired'));
  const session = fakeSession();
  const { user } = await renderApp(session);
  await user.type(await promptField(), 'a teapot');
  await user.click(generateButton());
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
  expect(onbrand.submissions[0]).toMatchObject({ prompt: 'a teapot', authorization: 'Bearer fresh' });
  expect(session.signInAgain).not.toHaveBeenCalled();
});

test('if the API refuses a fresh token too, the page shows a button and does not redirect', async () => {
  const refuse = () => problem(401, 'token_invalid', 'Sign-in not accepted', 'Sign in again.');
  onbrand.answerNext('POST', /generate/, refuse, 100);
  const session = fakeSession();
  const { user, unmount } = await renderApp(session);
  await user.type(await promptField(), 'a teapot');
  await user.click(generateButton());
  expect(await screen.findByRole('heading', { name: 'Sign-in not accepted' })).toBeInTheDocument();
  expect(onbrand.requests.filter((request) => request === 'POST /generate')).toHaveLength(2);
  expect(session.signInAgain).not.toHaveBeenCalled();
  expect(sessionStorage.getItem('onbrand.draft')).toBe(DRAFT);
  await user.click(screen.getByRole('button', { name: 'Sign in again' }));
  expect(session.signInAgain).toHaveBeenCalledOnce();

  unmount();
  onbrand = new FakeOnbrand(); // accepts tokens again
  await renderApp();
  await waitFor(() => expect(onbrand.submissions.map(({ prompt }) => prompt)).toEqual(['a teapot']));
});

test('signing out removes pictures and revokes their object URLs before the browser leaves the page', async () => {
  const session = fakeSession();
  const { user } = await renderApp(session);
  await user.type(await promptField(), 'a teapot');
  await user.click(generateButton());
  await waitFor(() => expect(onbrand.jobs.size).toBe(1));
  onbrand.complete(onbrand.job(0).id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  expect(liveUrls.size).toBe(4);
  session.signOut.mockImplementation(() => {
    expect(screen.queryByRole('img')).not.toBeInTheDocument();
    expect(liveUrls.size).toBe(0);
  });
  // jsdom can't open popovers, so their content is hidden.
  await user.click(screen.getByRole('button', { name: 'Sign out', hidden: true }));
  expect(session.signOut).toHaveBeenCalledOnce();
  expect(screen.getByText('Signing you out…')).toBeInTheDocument();
});

test('during the sign-out nothing that was typed is on the page', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), 'secret launch');
  await user.click(screen.getByRole('button', { name: 'Sign out', hidden: true }));
  expect(screen.getByRole('heading', { name: 'Signing you out…' })).toBeInTheDocument();
  expect(screen.queryByText(/secret launch/)).not.toBeInTheDocument();
});

test('a server error at the start says what happened, and the person can try again', async () => {
  const fail = () => problem(500, 'internal_error', 'Something went wrong on our side', 'Try again.');
  onbrand.answerNext('GET', /me/, fail);
  const { user } = await renderApp();
  expect(await screen.findByRole('heading', { name: 'Something went wrong on our side' })).toBeInTheDocument();
  expect(screen.getByText('Reference req-7f3a')).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  expect(await promptField()).toBeInTheDocument();
});
