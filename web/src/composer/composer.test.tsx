/** The composer, through the rendered page: writing a prompt and pressing Generate. */
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { passTime, settle } from '../test/clock';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { expectAnnounced, generateButton, promptField, renderApp, waitUntilAvailable } from '../test/render-app';

const PROMPT = 'a red backpack on a light blue background';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const cards = () => screen.queryAllByRole('article');

test('a double click makes one request', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), PROMPT);
  await user.dblClick(generateButton());
  await settle();
  expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true);
  await user.click(generateButton()); // as when the server answers between the two clicks
  expect(cards()).toHaveLength(1);
  expect(onbrand.submissions).toHaveLength(1);
});

/** Holds Enter for five seconds. As in a browser, every keydown clicks a button, unless the page prevents it. */
async function holdEnter(button: HTMLElement): Promise<void> {
  for (let second = 0; second < 5; second += 1) {
    if (fireEvent.keyDown(button, { key: 'Enter', repeat: second > 0 })) fireEvent.click(button);
    await settle();
    await passTime(1_000);
  }
  fireEvent.keyUp(button, { key: 'Enter' });
}

test('Enter held down on Generate makes one request, and the next press makes another', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), PROMPT);
  generateButton().focus();
  await holdEnter(generateButton());
  expect(cards()).toHaveLength(1);
  expect(onbrand.submissions).toHaveLength(1);
  await user.keyboard('{Enter}');
  expect(cards()).toHaveLength(2);
});

test('the second click of a double click counts as none, however late it arrives', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), PROMPT);
  fireEvent.click(generateButton(), { detail: 1 });
  await passTime(5_000);
  fireEvent.click(generateButton(), { detail: 2 });
  expect(cards()).toHaveLength(1);
});

test('Shift+Enter makes a new line, and Enter of an input method sends nothing', async () => {
  const { user } = await renderApp();
  const field = await promptField();
  await user.type(field, 'a red{Shift>}{Enter}{/Shift}teapot');
  expect(field).toHaveValue('a red\nteapot');
  // As from a Japanese keyboard: the browser's own mark, and Safari's, which ends the composition first.
  expect(fireEvent.keyDown(field, { key: 'Enter', isComposing: true })).toBe(true);
  expect(fireEvent.keyDown(field, { key: 'Enter', keyCode: 229 })).toBe(true);
  expect(cards()).toHaveLength(0);
  await user.type(field, '{Enter}');
  await waitFor(() => expect(onbrand.submissions[0]?.prompt).toBe('a red teapot'));
  expect(field).toHaveValue('a red\nteapot');
});

test('what is pressed while another is being sent is sent after it, and nothing is dropped', async () => {
  let release: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    release = resolve;
  });
  onbrand.answerNext('POST', /generate/, () => answered.then(() => problem(503, 'database_unavailable', 'Away')));
  await renderApp();
  const field = await promptField();
  const prompts = Array.from({ length: 12 }, (_, index) => `prompt ${index + 1}`);
  for (const prompt of prompts) {
    fireEvent.change(field, { target: { value: prompt } });
    fireEvent.keyDown(field, { key: 'Enter' });
    fireEvent.keyDown(field, { key: 'Enter', repeat: true });
    await passTime(500);
  }
  expect(cards()).toHaveLength(12);
  expect(onbrand.requests.filter((request) => request === 'POST /generate')).toHaveLength(1);
  release();
  await waitFor(() => expect(onbrand.submissions).toHaveLength(12));
  expect(onbrand.submissions.map(({ prompt }) => prompt)).toEqual(prompts);
});

test('Enter, Ctrl+Enter and Cmd+Enter generate once, even if held down or pressed twice', async () => {
  const { user } = await renderApp();
  const field = await promptField();
  await user.type(field, PROMPT);
  fireEvent.keyDown(field, { key: 'Enter' });
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true, repeat: true });
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true });
  expect(cards()).toHaveLength(1);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
  await waitUntilAvailable('Generate');
  fireEvent.keyDown(field, { key: 'Enter', ctrlKey: true, repeat: true });
  expect(cards()).toHaveLength(1);
  fireEvent.keyDown(field, { key: 'Enter', metaKey: true });
  expect(cards()).toHaveLength(2);
});

test('an example fills the field and sends nothing', async () => {
  const { user } = await renderApp();
  await promptField();
  await user.click(screen.getByRole('button', { name: 'A red backpack' }));
  expect(await promptField()).toHaveValue('A red backpack');
  expect(await promptField()).toHaveFocus();
  expect(onbrand.submissions).toEqual([]);
});

test('Generate says why it is off', async () => {
  await renderApp();
  const field = await promptField();
  expect(generateButton()).toHaveAccessibleDescription('Enter a description.');
  fireEvent.change(field, { target: { value: ' \u00A0\u200B' } });
  expect(generateButton()).toHaveAccessibleDescription('Enter a description.');
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
  await expectAnnounced('100 characters left');
  fireEvent.change(field, { target: { value: '😀'.repeat(500) } });
  expect(generateButton()).not.toHaveAttribute('aria-disabled');
});

test('the normalised prompt is sent', async () => {
  await renderApp();
  fireEvent.change(await promptField(), { target: { value: '  a\u200B red\nteapot ' } });
  fireEvent.click(generateButton());
  await waitFor(() => expect(onbrand.submissions[0]?.prompt).toBe('a red teapot'));
});

test('signing in asks for a GPU, and so does writing a prompt later; a refresh does not', async () => {
  const warmUps = () => onbrand.requests.filter((request) => request === 'POST /warm');
  const page = await renderApp();
  await page.user.type(await promptField(), 'a teapot');
  await waitFor(() => expect(warmUps()).toHaveLength(1));
  page.unmount();
  const again = await renderApp();
  await promptField();
  expect(warmUps()).toHaveLength(1);
  await again.user.type(await promptField(), '!');
  await waitFor(() => expect(warmUps()).toHaveLength(2));
});
