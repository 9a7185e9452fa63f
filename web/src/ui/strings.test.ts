import { expect, test } from 'vitest';
import { strings } from './strings';

function count(value: unknown): number {
  return typeof value === 'object' && value !== null
    ? Object.values(value).reduce<number>((sum, inner) => sum + count(inner), 0)
    : 1;
}

test('the page has at most 160 texts', () => {
  expect(count(strings)).toBeLessThanOrEqual(160);
});

test('places in the queue are ordinal numbers', () => {
  const places = [1, 2, 3, 4, 11, 12, 13, 21, 22, 112].map(strings.run.inLine);
  expect(places).toEqual([
    'Next in line',
    '2nd in line',
    '3rd in line',
    '4th in line',
    '11th in line',
    '12th in line',
    '13th in line',
    '21st in line',
    '22nd in line',
    '112th in line',
  ]);
});

test('a retention time that is no whole number of days is given in hours', () => {
  expect([12, 24, 36, 720].map(strings.run.expired)).toEqual([
    'Deleted after 12 hours',
    'Deleted after 1 day',
    'Deleted after 36 hours',
    'Deleted after 30 days',
  ]);
});
