/** The one screen, through the rendered page: asking, waiting, looking, again. */
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { liveAddresses } from '../test/object-urls';
import { FakeOnbrand, pictureBytes } from '../test/fake-onbrand';
import { fakeSession, follow, generateButton, pressGenerate, promptField, renderApp } from '../test/render-app';

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

test('pressing Generate shows four empty places before the network has answered', async () => {
  onbrand.once('POST', /generate/, () => new Promise<Response>(() => undefined));
  await pressGenerate(PROMPT);
  expect(squares(card(0))).toHaveLength(4);
  expect(within(card(0)).queryByRole('img')).not.toBeInTheDocument();
  expect(within(card(0)).getByRole('heading')).toHaveTextContent(PROMPT);
  expect(generateButton()).toHaveAttribute('aria-disabled', 'true');
  expect(generateButton()).toHaveFocus();
});

test('a finished job fills the four places with its own pictures', async () => {
  const { id } = await follow(onbrand, PROMPT);
  onbrand.complete(id);
  const pictures = await fourPictures(card(0));
  expect(pictures.map((picture) => picture.getAttribute('alt'))).toEqual(
    [1, 2, 3, 4].map((n) => `Illustration ${n} of 4: ${PROMPT}`),
  );
  const shown = pictures.map((picture) => liveAddresses.get(picture.getAttribute('src') ?? ''));
  const texts = await Promise.all(shown.map((blob) => blob?.text() ?? Promise.resolve('nothing')));
  expect(texts).toEqual([1, 2, 3, 4].map((n) => pictureBytes(onbrand.job(0), n)));
  expect(screen.getByText(/took 6 s · kept until 27 Feb/)).toBeInTheDocument();
  expect(document.title).toBe('Ready · Onbrand');
});

test('progress shows phase, step, percent and seconds, and the title follows', async () => {
  const { id } = await follow(onbrand, PROMPT);
  expect(await screen.findByText('2nd in line')).toBeInTheDocument();
  expect(screen.getByText('about 50 s · usually 8–12 s')).toBeInTheDocument();
  onbrand.draw(id, 7, 55);
  expect(await screen.findByText('step 7 of 12 · about 5 s')).toBeInTheDocument();
  expect(screen.getByText('Drawing')).toHaveTextContent(/55\s%$/);
  expect(percent()).toBe(55);
  expect(document.title).toBe('(55 %) Onbrand');
});

test('Generate More starts a new run of the same prompt on top and leaves the earlier one alone', async () => {
  const { id, user } = await follow(onbrand, PROMPT);
  onbrand.complete(id);
  const before = await fourPictures();
  await waitFor(() => expect(generateButton()).not.toHaveAttribute('aria-disabled'), { timeout: 3_000 });
  await user.clear(await promptField());
  await user.click(screen.getByRole('button', { name: 'Generate More' }));
  expect(cards()).toHaveLength(2);
  expect(squares(card(0))).toHaveLength(4);
  expect(within(card(1)).getAllByRole('img')).toEqual(before);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(2));
  expect(onbrand.submissions.map(({ prompt }) => prompt)).toEqual([PROMPT, PROMPT]);
  expect(new Set(onbrand.submissions.map(({ key }) => key)).size).toBe(2);
});

test('a double click makes one request', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), PROMPT);
  await user.dblClick(generateButton());
  await waitFor(() => expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true));
  await user.click(generateButton()); // the server was quick, the second click slow
  expect(cards()).toHaveLength(1);
  expect(onbrand.submissions).toHaveLength(1);
});

test('Ctrl+Enter and Cmd+Enter generate, once even when held; Enter alone makes a new line', async () => {
  const { user } = await renderApp();
  const field = await promptField();
  await user.type(field, `${PROMPT}{Enter}`);
  expect(cards()).toHaveLength(0);
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true });
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true, repeat: true });
  expect(cards()).toHaveLength(1);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
  await waitFor(() => expect(generateButton()).not.toHaveAttribute('aria-disabled'), { timeout: 3_000 });
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true, repeat: true });
  expect(cards()).toHaveLength(1);
  fireEvent.keyDown(field, { key: 'Enter', metaKey: true });
  expect(cards()).toHaveLength(2);
});

test('a refresh restores every run in order, and the prompt in the field', async () => {
  const { id, user, unmount } = await follow(onbrand, PROMPT);
  onbrand.complete(id);
  await fourPictures();
  await waitFor(() => expect(generateButton()).not.toHaveAttribute('aria-disabled'), { timeout: 3_000 });
  const field = await promptField();
  await user.clear(field);
  await user.type(field, 'a teapot');
  await user.click(generateButton());
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  onbrand.draw(onbrand.job(1).id, 3, 26);
  await waitFor(() => expect(percent()).toBe(26), { timeout: 3_000 });

  unmount();
  await renderApp();
  expect(await promptField()).toHaveValue('a teapot');
  expect(cards().map((each) => within(each).getByRole('heading').textContent)).toEqual(['a teapot', PROMPT]);
  await waitFor(() => expect(percent()).toBe(26), { timeout: 2_000 });
  expect(await fourPictures(card(1))).toHaveLength(4);
  expect(onbrand.submissions).toHaveLength(2);
  expect(screen.getByRole('status')).toBeEmptyDOMElement(); // nothing of this is news
});

test('a request in flight at a refresh is repeated with its key and stays one job', async () => {
  onbrand.once('POST', /generate/, () => new Promise<Response>(() => undefined));
  const { unmount } = await pressGenerate(PROMPT);
  const stored = sessionStorage.getItem('onbrand.runs.account-1') ?? '[]';
  const [{ key }] = JSON.parse(stored) as [{ key: string }];
  unmount();
  await renderApp();
  await waitFor(() => expect(onbrand.submissions.map((submission) => submission.key)).toEqual([key]));
  expect(cards()).toHaveLength(1);
});

test('another account in the same tab sees none of the runs', async () => {
  const { unmount } = await follow(onbrand, PROMPT);
  unmount();
  await renderApp(fakeSession({ id: 'account-2', name: 'Other', username: 'other@studio.example' }));
  await promptField();
  expect(cards()).toHaveLength(0);
});

test('the live region tells of queue, start, quarters and the end, and not of every step', async () => {
  const { id } = await follow(onbrand, PROMPT);
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

test('the page says which end of the prompt the model left out', async () => {
  const { id } = await follow(onbrand, `${PROMPT} 🪁 and a kite`);
  onbrand.update(id, { prompt_truncated: true, prompt_ignored: 12 });
  expect(await screen.findByText(/Left out: “🪁 and a kite”/)).toBeInTheDocument();
});

test('the page says so too when it is not known how much was left out', async () => {
  const { id } = await follow(onbrand, PROMPT);
  onbrand.update(id, { prompt_truncated: true });
  expect(await screen.findByText(/the end of it was left out/)).toBeInTheDocument();
});

test('an example fills the field and sends nothing', async () => {
  const { user } = await renderApp();
  await promptField();
  await user.click(screen.getByRole('button', { name: 'A red backpack' }));
  expect(await promptField()).toHaveValue('A red backpack');
  expect(await promptField()).toHaveFocus();
  expect(onbrand.submissions).toEqual([]);
});

test('Generate says why it cannot be pressed', async () => {
  await renderApp();
  const field = await promptField();
  expect(generateButton()).toHaveAccessibleDescription('Type what you need first.');
  fireEvent.change(field, { target: { value: ' \u00A0\u200B' } });
  expect(generateButton()).toHaveAccessibleDescription('Type what you need first.');
  fireEvent.change(field, { target: { value: 'a\u0000b' } });
  expect(generateButton()).toHaveAccessibleDescription(/Remove control characters/);
  fireEvent.change(field, { target: { value: 'a'.repeat(512) } });
  expect(generateButton()).toHaveAccessibleDescription('Shorten it by 12 characters.');
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true });
  expect(cards()).toHaveLength(0);
});

test('the counter appears at 400 characters and counts as the server does', async () => {
  await renderApp();
  const field = await promptField();
  fireEvent.change(field, { target: { value: 'a'.repeat(399) } });
  expect(screen.queryByText(/\/ 500/)).not.toBeInTheDocument();
  fireEvent.change(field, { target: { value: `  ${'😀'.repeat(400)}  ` } });
  expect(screen.getByText('400 / 500')).toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent('100 characters left');
  fireEvent.change(field, { target: { value: '😀'.repeat(500) } });
  expect(generateButton()).not.toHaveAttribute('aria-disabled');
});

test('what is sent is the normalised prompt', async () => {
  await renderApp();
  fireEvent.change(await promptField(), { target: { value: '  a\u200B red\nteapot ' } });
  fireEvent.click(generateButton());
  await waitFor(() => expect(onbrand.submissions[0]?.prompt).toBe('a red teapot'));
});

test('writing a prompt asks for a warm GPU once; looking at the page does not', async () => {
  const { user } = await renderApp();
  const field = await promptField();
  await user.click(field);
  expect(onbrand.requests).not.toContain('POST /warm');
  await user.type(field, 'a teapot');
  await waitFor(() => expect(onbrand.requests.filter((request) => request === 'POST /warm')).toHaveLength(1));
});
