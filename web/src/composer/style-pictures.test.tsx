/** The empty page shows what the live style has drawn before, and a picture starts a prompt like its own. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { pressGenerate, promptField, renderApp } from '../test/render-app';

const PROMPTS = ['a cup', 'a chair', 'a key', 'a tree'];

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
  onbrand.stylePictures = PROMPTS;
});

const shown = async () => within(await screen.findByRole('list', { name: 'Drawn in this style before' }));

test('four pictures of the style stand where the first run will be, each with its prompt', async () => {
  await renderApp();
  const names = (await shown()).getAllByRole('img').map((image) => image.getAttribute('alt'));
  expect(names).toEqual(PROMPTS.map((prompt) => `Drawn in this style: ${prompt}`));
});

test('a press puts the prompt of a picture into the field and sends nothing', async () => {
  const { user } = await renderApp();
  await user.click((await shown()).getByRole('button', { name: /a key/ }));
  expect(await promptField()).toHaveValue('a key');
  expect(await promptField()).toHaveFocus();
  expect(onbrand.submissions).toEqual([]);
});

test('they make room for the first run', async () => {
  await pressGenerate('a teapot');
  await waitFor(() => expect(screen.getAllByRole('article')).toHaveLength(1));
  expect(screen.queryByRole('list', { name: 'Drawn in this style before' })).toBeNull();
});

test.each([
  ['that was built without pictures', () => new Response('{"pictures":[]}')],
  ['whose pictures the service cannot give', () => problem(503, 'database_unavailable', 'Away')],
])('a style %s leaves the squares empty', async (_, answer) => {
  onbrand.answerNext('GET', /style.pictures$/, answer);
  await renderApp();
  await promptField();
  await waitFor(() => expect(onbrand.requests).toContain('GET /style/pictures'));
  expect(screen.queryByRole('list', { name: 'Drawn in this style before' })).toBeNull();
});
