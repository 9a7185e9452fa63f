/** A run is not lost with its tab: a new tab of the same browser and account begins with it. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test, vi } from 'vitest';
import { forgetAccount } from '../browser-storage';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { fakeSession, generateButton, generateJob, pressGenerate, promptField, renderApp } from '../test/render-app';

const HOUR = 60 * 60_000;

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const prompts = () => screen.queryAllByRole('article').map((card) => within(card).getByRole('heading').textContent);
const kept = () => Object.keys(localStorage).filter((key) => key.startsWith('onbrand.kept.'));

/** Closes the tab and opens another one: what `sessionStorage` held is gone. */
async function newTab({ unmount }: { unmount: () => void }, session = fakeSession()) {
  unmount();
  sessionStorage.clear();
  const page = await renderApp(session);
  await promptField();
  return page;
}

test('a new tab goes on with a run that was being drawn, and shows its pictures', async () => {
  const page = await generateJob(onbrand, 'a teapot');
  onbrand.draw(page.id, 6, 48);
  await newTab(page);
  expect(await screen.findByText(/^step 6 of 12/)).toBeInTheDocument();
  onbrand.complete(page.id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  expect(onbrand.submissions).toHaveLength(1);
});

test('a run that was not yet answered is sent by the new tab, with the same key', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(503, 'database_unavailable', 'Away'));
  const page = await pressGenerate('a teapot');
  await screen.findByText(/Trying again/);
  const [key] = kept();
  await newTab(page);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
  expect(key).toBe(`onbrand.kept.account-1.${onbrand.submissions[0]?.key}`);
});

test('the runs of several tabs come back together, newest first; open tabs do not follow each other', async () => {
  await generateJob(onbrand, 'a teapot');
  sessionStorage.clear();
  const other = await renderApp();
  const field = await within(other.container).findByLabelText('Describe the illustration');
  await other.user.type(field, 'a camera');
  await other.user.click(within(other.container).getByRole('button', { name: 'Generate' }));
  await waitFor(() => expect(onbrand.submissions).toHaveLength(2));
  expect(within(other.container).getAllByRole('article')).toHaveLength(2);
  expect(prompts()).toEqual(['a teapot', 'a camera', 'a teapot']);
  document.body.replaceChildren();
  await newTab(other);
  expect(prompts()).toEqual(['a camera', 'a teapot']);
});

test('another account sees nothing of it, and the sign-out removes it', async () => {
  const page = await generateJob(onbrand, 'a teapot');
  const another = await newTab(page, fakeSession({ id: 'account-2', name: 'Bo', username: 'bo@studio.example' }));
  expect(prompts()).toEqual([]);
  forgetAccount('account-1');
  expect(kept()).toEqual([]);
  await newTab(another);
  expect(prompts()).toEqual([]);
});

test('a removed run stays removed', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(429, 'too_many_queued', 'Too many waiting'));
  const page = await pressGenerate('a teapot');
  await page.user.click(await screen.findByRole('button', { name: 'Remove' }));
  await newTab(page);
  expect(prompts()).toEqual([]);
  expect(kept()).toEqual([]);
});

test('a run comes back on the next day, and is forgotten after three', async () => {
  const page = await generateJob(onbrand, 'a teapot');
  const now = Date.now();
  vi.setSystemTime(now + 47 * HOUR);
  const nextDay = await newTab(page);
  expect(prompts()).toEqual(['a teapot']);
  vi.setSystemTime(now + 73 * HOUR);
  await newTab(nextDay);
  expect(prompts()).toEqual([]);
  expect(kept()).toEqual([]);
  expect(generateButton()).toBeInTheDocument();
});

test('values that are no runs are ignored, and a browser that refuses storage changes nothing else', async () => {
  localStorage.setItem('onbrand.kept.account-1.a', '{');
  localStorage.setItem('onbrand.kept.account-1.b', '{"key":7}');
  const refuse = () => {
    throw new DOMException('no', 'SecurityError');
  };
  vi.spyOn(Storage.prototype, 'setItem').mockImplementation(refuse);
  await generateJob(onbrand, 'a teapot');
  expect(prompts()).toEqual(['a teapot']);
  vi.restoreAllMocks();
});
