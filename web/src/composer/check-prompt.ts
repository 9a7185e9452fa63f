/**
 * The server's rule for prompts, once more for the page: the page then counts as the server does, and can say what is
 * wrong before it sends anything.
 *
 * The tests of both rules read `tests/vectors/prompts.json`. The server decides in the end, because its Unicode tables
 * may be newer.
 */

export const MAX_CODE_POINTS = 500;
const MAX_MARKS_PER_BASE = 8;
const JOINER = '\u200D';

type PromptProblem = 'prompt_blank' | 'prompt_too_long' | 'prompt_invalid';
export type CheckedPrompt = { text: string; length: number; problem: PromptProblem | null };

/** Returns the prompt as the server would store it, its length in Unicode code points, and its problem if any. */
export function checkPrompt(input: string): CheckedPrompt {
  const line = input.replace(/[\n\r\t\u2028\u2029]/g, ' ');
  const text = withoutFormatCharacters(line).normalize('NFC').trim();
  const length = Array.from(text).length;
  return { text, length, problem: problemOf(line, text, length) };
}

function problemOf(line: string, text: string, length: number): PromptProblem | null {
  if (/[\p{Cc}\p{Cs}]/u.test(line)) return 'prompt_invalid';
  if (!/[\p{L}\p{N}\p{S}\p{P}]/u.test(text)) return 'prompt_blank';
  if (length > MAX_CODE_POINTS) return 'prompt_too_long';
  return mostMarksInARow(text) > MAX_MARKS_PER_BASE ? 'prompt_invalid' : null;
}

// Removes bidi controls, zero-width characters and tag characters. A joiner between two visible characters stays: emoji
// need it.
function withoutFormatCharacters(line: string): string {
  const visible = Array.from(line).filter((char) => char === JOINER || !/\p{Cf}/u.test(char));
  const kept: string[] = [];
  visible.forEach((char, index) => {
    if (char === JOINER) {
      const neighbours = [kept.at(-1) ?? ' ', visible[index + 1] ?? ' '];
      if (neighbours.some((neighbour) => neighbour === JOINER || /\s/u.test(neighbour))) return;
    }
    kept.push(char);
  });
  return kept.join('');
}

function mostMarksInARow(text: string): number {
  return Math.max(0, ...Array.from(text.matchAll(/\p{M}+/gu), ([marks]) => Array.from(marks).length));
}
