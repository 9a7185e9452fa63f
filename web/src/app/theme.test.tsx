/** The theme (light, dark or the system's), chosen in the account menu and stored by the browser. */
import { screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeOnbrand } from '../test/fake-onbrand';
import { promptField, renderApp } from '../test/render-app';
import { applyStoredTheme } from '../ui/theme';

const root = document.documentElement;
// jsdom can't open popovers, so their content is hidden.
const choice = (name: string) => screen.getByRole('radio', { name, hidden: true });

beforeEach(() => {
  new FakeOnbrand();
});
afterEach(() => {
  vi.restoreAllMocks();
  localStorage.clear();
  delete root.dataset['theme'];
});

async function open() {
  const page = await renderApp();
  await promptField();
  return page;
}

test('without a choice the system decides', async () => {
  applyStoredTheme();
  await open();
  expect(choice('System')).toBeChecked();
  expect(root).not.toHaveAttribute('data-theme');
});

test('a choice applies at once, and on the next load before the page renders', async () => {
  const { user, unmount } = await open();
  await user.click(choice('Dark'));
  expect(choice('Dark')).toBeChecked();
  expect(root).toHaveAttribute('data-theme', 'dark');

  unmount();
  delete root.dataset['theme'];
  applyStoredTheme();
  expect(root).toHaveAttribute('data-theme', 'dark');
  await open();
  expect(choice('Dark')).toBeChecked();
});

test('choosing System removes the earlier choice', async () => {
  const { user } = await open();
  await user.click(choice('Light'));
  expect(root).toHaveAttribute('data-theme', 'light');
  await user.click(choice('System'));
  expect(root).not.toHaveAttribute('data-theme');
});

test('an unknown stored choice is ignored', async () => {
  localStorage.setItem('onbrand.theme', 'sepia');
  applyStoredTheme();
  await open();
  expect(choice('System')).toBeChecked();
  expect(root).not.toHaveAttribute('data-theme');
});

test('if the browser refuses storage, a choice lasts until the next load', async () => {
  const refuse = () => {
    throw new Error('SecurityError');
  };
  vi.spyOn(Storage.prototype, 'getItem').mockImplementation(refuse);
  vi.spyOn(Storage.prototype, 'setItem').mockImplementation(refuse);
  applyStoredTheme();
  const { user } = await open();
  await user.click(choice('Dark'));
  expect(choice('Dark')).toBeChecked();
  expect(root).toHaveAttribute('data-theme', 'dark');
});
