/** Light, dark, or as the system says: chosen in the account menu, remembered by the browser. */
import { screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeOnbrand } from '../test/fake-onbrand';
import { promptField, renderApp } from '../test/render-app';
import { applyStoredTheme } from '../ui/theme';

const root = document.documentElement;
// jsdom keeps popovers closed.
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

test('a choice applies at once, and on the next load before the page is drawn', async () => {
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

test('going back to the system takes the choice away', async () => {
  const { user } = await open();
  await user.click(choice('Light'));
  expect(root).toHaveAttribute('data-theme', 'light');
  await user.click(choice('System'));
  expect(root).not.toHaveAttribute('data-theme');
});

test('a stored choice that is none is left alone', async () => {
  localStorage.setItem('onbrand.theme', 'sepia');
  applyStoredTheme();
  await open();
  expect(choice('System')).toBeChecked();
  expect(root).not.toHaveAttribute('data-theme');
});

test('where the browser refuses storage a choice lasts until the next load', async () => {
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
