/** What the page says of the month's budget. */
import { screen, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { pressGenerate, promptField, renderApp } from '../test/render-app';

const OPENS_AT = '2026-12-01T00:00:00Z';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const notice = () => screen.queryByRole('complementary', { name: 'Budget' });

test('without a budget, or with enough left, nothing is said', async () => {
  onbrand.me.budget = { state: 'open', percent: 12, opens_at: OPENS_AT };
  await renderApp();
  await promptField();
  expect(notice()).toBeNull();
});

test('when most is spent, the page says so once in a tab', async () => {
  onbrand.me.budget = { state: 'low', percent: 83, opens_at: OPENS_AT };
  const page = await renderApp();
  const shown = await screen.findByRole('complementary', { name: 'Budget' });
  expect(shown).toHaveTextContent("Most of this month's budget is spent.");
  await page.user.click(within(shown).getByRole('button', { name: 'Close' }));
  expect(notice()).toBeNull();
  page.unmount();
  await renderApp();
  await promptField();
  expect(notice()).toBeNull();
});

test('when all is spent, the page says when it opens again, and keeps saying it', async () => {
  onbrand.me.budget = { state: 'spent', percent: 100, opens_at: OPENS_AT };
  await renderApp();
  const shown = await screen.findByRole('complementary', { name: 'Budget' });
  expect(shown).toHaveTextContent(/You can generate again from .*Dec/);
  expect(within(shown).queryByRole('button')).toBeNull();
});

test('a refusal until the next month is no countdown', async () => {
  const day = 'It opens again on 1 December 2026 (UTC).';
  onbrand.answerNext('POST', /generate/, () =>
    problem(429, 'budget_spent', 'The budget is spent', day, { 'Retry-After': '1758600' }),
  );
  await pressGenerate('a teapot');
  expect(await screen.findByText(/1 December 2026/)).toBeInTheDocument();
  expect(screen.getByRole('button', { name: 'Try again' })).toBeInTheDocument();
  expect(onbrand.submissions).toEqual([]);
});
