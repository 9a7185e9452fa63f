import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import vectors from '../../../tests/vectors/prompts.json';
import { checkPrompt } from './check-prompt';

type Vector = { name: string; input: string; normalised?: string; error?: string };

describe('the test vectors shared with the server', () => {
  test.each(vectors as Vector[])('$name', ({ input, normalised, error }) => {
    const checked = checkPrompt(input);
    expect(checked.problem).toBe(error ?? null);
    if (normalised !== undefined) expect(checked.text).toBe(normalised);
  });
});

test('a valid prompt does not change when it is checked again', () => {
  const anyText = fc.string({ unit: 'binary' });
  const special = fc.string({ unit: fc.constantFrom('\u200D', '\u200B', '\u0301', ' ', '\n', 'a', 'e', '\u{1F3A8}') });
  fc.assert(
    fc.property(fc.oneof(anyText, special), (input) => {
      const once = checkPrompt(input);
      if (once.problem === null) expect(checkPrompt(once.text)).toEqual(once);
    }),
  );
});

test('500 emoji are 500 characters', () => {
  expect(checkPrompt('😀'.repeat(500))).toMatchObject({ length: 500, problem: null });
  expect(checkPrompt('😀'.repeat(501))).toMatchObject({ length: 501, problem: 'prompt_too_long' });
});
