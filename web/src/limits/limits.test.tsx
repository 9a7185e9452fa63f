/** A model of known limits: said before, noticed before a prompt is sent, and told beside its pictures. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Known } from '../api/get-style-limits';
import { FakeOnbrand } from '../test/fake-onbrand';
import { generateJob, promptField, renderApp } from '../test/render-app';
import { checkThings } from './check-things';

const KNOWN: Known = {
  most_things: 1,
  things: [
    { name: 'backpack', words: ['rucksack', 'school bag'] },
    { name: 'mug', words: ['cup'] },
    { name: 'beer mug', words: [] },
    { name: 'rocket', words: [] },
    { name: 'headphones', words: [] },
    { name: 'glasses', words: [] },
  ],
  near: { robot: [3, 4], planes: [3], city: [] },
};
const UNKNOWN = /hasn't learned what you describe/;

describe('checkThings', () => {
  test.each([
    ['a red backpack', ['backpack']],
    ['Two RUCKSACKS, please', ['backpack']],
    ['a School-Bag', ['backpack']],
    ['a pint in a beer mug', ['beer mug']],
    ['headphone', ['headphones']],
    ['a pair of glasses', ['glasses']],
    ['two cups and a rocket', ['mug', 'rocket']],
  ])('%s names what is known', (prompt, named) => {
    expect(checkThings(KNOWN, prompt)).toEqual({ named, nearest: [] });
  });

  test.each([
    ['a friendly robot', ['rocket', 'headphones']],
    ['a paper plane over a city', ['rocket']],
    ['a red backpak', ['backpack']],
    ['a ruckasck', ['backpack']],
    ['绵羊', []],
    ['smuggler', []],
  ])('%s names nothing, and gets what is nearest', (prompt, nearest) => {
    expect(checkThings(KNOWN, prompt)).toEqual({ named: [], nearest });
  });
});

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

test('the empty page says how much the model knows, and what', async () => {
  onbrand.known = KNOWN;
  await renderApp();
  expect(await screen.findByText('This small model knows 6 things, one in a picture.')).toBeInTheDocument();
  expect(screen.getByText(/backpack, mug, beer mug/)).toBeInTheDocument();
});

test('a prompt that names nothing known is noticed before it is sent, and a near thing fills the field', async () => {
  onbrand.known = KNOWN;
  const { user } = await renderApp();
  await user.type(await promptField(), 'a friendly robot');
  const note = await screen.findByRole('note');
  expect(within(note).getByText(UNKNOWN)).toBeInTheDocument();
  await user.click(within(note).getByRole('button', { name: 'rocket' }));
  expect(await promptField()).toHaveValue('rocket');
  await waitFor(() => expect(screen.queryByText(UNKNOWN)).not.toBeInTheDocument());
  expect(onbrand.submissions).toEqual([]);
});

test('if nothing known is near, the examples of the style are offered', async () => {
  onbrand.known = KNOWN;
  const { user } = await renderApp();
  await user.type(await promptField(), 'zeitgeist');
  const note = await screen.findByRole('note');
  expect(within(note).getByRole('button', { name: 'An umbrella' })).toBeInTheDocument();
});

test('more things than the model can draw are noticed, too', async () => {
  onbrand.known = KNOWN;
  const { user } = await renderApp();
  await user.type(await promptField(), 'a mug beside a rocket');
  expect(await screen.findByText('This small model draws one thing in a picture.')).toBeInTheDocument();
});

test('a model that draws two things says so, and lets two pass', async () => {
  onbrand.known = { ...KNOWN, most_things: 2 };
  const { user } = await renderApp();
  expect(await screen.findByText('This small model knows 6 things, up to 2 in a picture.')).toBeInTheDocument();
  await user.type(await promptField(), 'a mug beside a rocket');
  expect(screen.queryByText(/This small model draws/)).not.toBeInTheDocument();
  await user.type(await promptField(), ' and headphones');
  expect(await screen.findByText('This small model draws up to 2 things in a picture.')).toBeInTheDocument();
});

test('beside pictures that cannot be good there is a sentence why', async () => {
  onbrand.known = KNOWN;
  const { id } = await generateJob(onbrand, 'a friendly robot');
  onbrand.complete(id);
  await waitFor(() => expect(screen.getByRole('article')).toHaveAttribute('data-state', 'complete'));
  expect(within(screen.getByRole('article')).getByText(UNKNOWN)).toBeInTheDocument();
  expect(screen.getAllByText(UNKNOWN)).toHaveLength(1); // not below the field, too, while it still holds the prompt
});

test('nothing of this shows for a model without such a list, or if the list cannot be had', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), 'a friendly robot');
  expect(screen.queryByText(/This small model/)).not.toBeInTheDocument();
  expect(screen.queryByRole('note')).not.toBeInTheDocument();
});
