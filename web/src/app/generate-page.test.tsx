/** The main page from the press of Generate to the pictures, and after a refresh. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test, vi } from 'vitest';
import { passTime, settle } from '../test/clock';
import { liveUrls } from '../test/object-urls';
import { FakeOnbrand, renditionBytes } from '../test/fake-onbrand';
import {
  fakeSession,
  generateButton,
  generateJob,
  pressGenerate,
  promptField,
  renderApp,
  waitUntilAvailable,
} from '../test/render-app';

const PROMPT = 'a red backpack on a light blue background';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const cards = () => screen.queryAllByRole('article');
const squares = (card: HTMLElement) => within(card).queryAllByTestId('square');
const percent = () => Number(screen.getByRole('progressbar').getAttribute('aria-valuenow'));

function card(index: number): HTMLElement {
  const found = cards()[index];
  if (found === undefined) throw new Error(`There is no card ${index}`);
  return found;
}

async function fourPictures(inside: HTMLElement = document.body): Promise<HTMLElement[]> {
  await waitFor(() => expect(within(inside).getAllByRole('img')).toHaveLength(4));
  return within(inside).getAllByRole('img');
}

test('pressing Generate shows four empty tiles before the server has answered', async () => {
  onbrand.answerNext('POST', /generate/, () => new Promise<Response>(() => undefined));
  await pressGenerate(PROMPT);
  expect(squares(card(0))).toHaveLength(4);
  expect(within(card(0)).queryByRole('img')).not.toBeInTheDocument();
  expect(within(card(0)).getByRole('heading')).toHaveTextContent(PROMPT);
  expect(generateButton()).toHaveFocus();
});

test('a complete job shows its own four pictures', async () => {
  const { id } = await generateJob(onbrand, PROMPT);
  onbrand.complete(id);
  const pictures = await fourPictures(card(0));
  expect(pictures.map((picture) => picture.getAttribute('alt'))).toEqual(
    [1, 2, 3, 4].map((n) => `Illustration ${n} of 4: ${PROMPT}`),
  );
  const shown = pictures.map((picture) => liveUrls.get(picture.getAttribute('src') ?? ''));
  const texts = await Promise.all(shown.map((blob) => blob?.text() ?? Promise.resolve('nothing')));
  expect(texts).toEqual([1, 2, 3, 4].map((n) => renditionBytes(onbrand.job(0), n)));
  expect(await screen.findByText(/took 6 s · kept until 27 Feb/)).toBeInTheDocument();
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
});

test('the waiting in line is told apart from the time that the drawing took', async () => {
  const { id } = await generateJob(onbrand, PROMPT);
  onbrand.update(id, { created_at: '2026-01-28T14:01:12Z', started_at: '2026-01-28T14:01:48Z' });
  onbrand.complete(id);
  expect(await screen.findByText(/took 18 s · waited 36 s · kept until/)).toBeInTheDocument();
});

test('the progress shows phase, step, percent and seconds, and the title shows the percent', async () => {
  const { id } = await generateJob(onbrand, PROMPT);
  expect(await screen.findByText('2nd in line')).toBeInTheDocument();
  expect(screen.getByText('about 50 s · drawing usually takes 8–12 s')).toBeInTheDocument();
  onbrand.draw(id, 7, 55);
  expect(await screen.findByText('step 7 of 12 · about 5 s')).toBeInTheDocument();
  expect(screen.getByText('Drawing')).toHaveTextContent(/55\s%$/);
  expect(percent()).toBe(55);
  expect(document.title).toBe('(55 %) Onbrand');
});

test('Generate More starts a run with the same prompt on top and does not change the earlier run', async () => {
  const { id, user } = await generateJob(onbrand, PROMPT);
  onbrand.complete(id);
  const before = await fourPictures();
  await waitUntilAvailable('Generate');
  await user.clear(await promptField());
  await user.click(screen.getByRole('button', { name: 'Generate More' }));
  expect(cards()).toHaveLength(2);
  expect(squares(card(0))).toHaveLength(4);
  expect(within(card(1)).getAllByRole('img')).toEqual(before);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(2));
  expect(onbrand.submissions.map(({ prompt }) => prompt)).toEqual([PROMPT, PROMPT]);
  expect(new Set(onbrand.submissions.map(({ key }) => key)).size).toBe(2);
});

test('a refresh restores all runs in order, and the prompt in the field', async () => {
  const { id, user, unmount } = await generateJob(onbrand, PROMPT);
  onbrand.complete(id);
  await fourPictures();
  await waitUntilAvailable('Generate');
  const field = await promptField();
  await user.clear(field);
  await user.type(field, 'a teapot');
  await user.click(generateButton());
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  onbrand.draw(onbrand.job(1).id, 3, 26);
  await waitFor(() => expect(percent()).toBe(26));

  unmount();
  await renderApp();
  expect(await promptField()).toHaveValue('a teapot');
  expect(cards().map((each) => within(each).getByRole('heading').textContent)).toEqual(['a teapot', PROMPT]);
  await waitFor(() => expect(percent()).toBe(26));
  expect(await fourPictures(card(1))).toHaveLength(4);
  expect(onbrand.submissions).toHaveLength(2);
  expect(screen.getByRole('status')).toBeEmptyDOMElement(); // nothing has changed
});

test('a request that a refresh interrupts is repeated with the same key', async () => {
  onbrand.answerNext('POST', /generate/, () => new Promise<Response>(() => undefined));
  const { unmount } = await pressGenerate(PROMPT);
  const stored = sessionStorage.getItem('onbrand.runs.account-1') ?? '[]';
  const [{ key }] = JSON.parse(stored) as [{ key: string }];
  unmount();
  await renderApp();
  await waitFor(() => expect(onbrand.submissions.map((submission) => submission.key)).toEqual([key]));
  expect(cards()).toHaveLength(1);
});

test('another account in the same tab sees none of the runs', async () => {
  const { unmount } = await generateJob(onbrand, PROMPT);
  unmount();
  await renderApp(fakeSession({ id: 'account-2', name: 'Other', username: 'other@studio.example' }));
  await promptField();
  expect(cards()).toHaveLength(0);
});

test('the live region says queued, started, each quarter and the end, but not every step', async () => {
  const { id } = await generateJob(onbrand, PROMPT);
  const status = screen.getByRole('status');
  await waitFor(() => expect(status).toHaveTextContent('Queued. 2nd in line'));
  onbrand.draw(id, 1, 11);
  await waitFor(() => expect(status).toHaveTextContent('Drawing started'));
  onbrand.draw(id, 4, 33);
  await waitFor(() => expect(status).toHaveTextContent('25 % done'));
  onbrand.draw(id, 5, 41);
  await waitFor(() => expect(percent()).toBe(41));
  expect(status).toHaveTextContent('25 % done');
  onbrand.complete(id);
  await waitFor(() => expect(status).toHaveTextContent('4 illustrations ready'));
});

test('the page shows the end of the prompt that the model left out', async () => {
  const { id } = await generateJob(onbrand, `${PROMPT} 🪁 and a kite`);
  onbrand.update(id, { prompt_truncated: true, prompt_ignored: 12 });
  expect(await screen.findByText(/Left out: “🪁 and a kite”/)).toBeInTheDocument();
});

test('the page says that an end was left out, if the service does not know which', async () => {
  const { id } = await generateJob(onbrand, PROMPT);
  onbrand.update(id, { prompt_truncated: true });
  expect(await screen.findByText(/The end was left out/)).toBeInTheDocument();
});


test('no timer outlives the page', async () => {
  const { unmount } = await generateJob(onbrand, PROMPT);
  unmount();
  await settle(); // React finishes its own work first
  // There is no window after the end of a test file. A timer that is left over would fail then, and so it does here.
  vi.stubGlobal('window', undefined);
  await passTime(60_000);
});
