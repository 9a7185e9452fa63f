import { expect, test } from 'vitest';
import { mayRedirect } from './redirect-guard';

test('three automatic redirects a minute are allowed, and no fourth', () => {
  expect([0, 1_000, 2_000, 3_000].map((now) => mayRedirect(now))).toEqual([true, true, true, false]);
  expect(mayRedirect(59_999)).toBe(false);
  expect(mayRedirect(60_500)).toBe(true);
});

test('a damaged record counts as no record', () => {
  sessionStorage.setItem('onbrand.redirects', '{"not": "a list"');
  expect(mayRedirect(0)).toBe(true);
});
