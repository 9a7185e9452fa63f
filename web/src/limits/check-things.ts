/** Compares a prompt with what a small model knows: which things it names and, if none, what is nearest to it. */
import type { Known } from '../api/get-style-limits';

export type CheckedThings = {
  /** The known things that the prompt names, in the order of the list. */
  named: string[];
  /** If it names none: the known things nearest to its words, the nearest first. */
  nearest: string[];
};

const MOST_SUGGESTIONS = 3;
const SHORTEST_WORD = 4;

export function checkThings(known: Known, prompt: string): CheckedThings {
  const words = wordsOf(prompt);
  const text = ` ${words.join(' ')} `;
  const named = known.things.filter(({ name, words: others }) =>
    [name, ...others].some((term) => text.includes(` ${wordsOf(term).join(' ')} `)),
  );
  // "mug" in "beer mug" is not a second thing.
  const whole = named.filter(({ name }) => !named.some((other) => isPartOf(name, other.name)));
  if (whole.length > 0) return { named: whole.map(({ name }) => name), nearest: [] };
  const singulars = new Map(Object.entries(known.near).map(([word, places]) => [singular(word), places]));
  const places = words.flatMap((word) => singulars.get(word) ?? similarlyWritten(known, word));
  const nearest = [...new Set(places)].slice(0, MOST_SUGGESTIONS);
  return { named: [], nearest: nearest.flatMap((place) => known.things[place]?.name ?? []) };
}

function isPartOf(name: string, other: string): boolean {
  return name !== other && ` ${wordsOf(other).join(' ')} `.includes(` ${wordsOf(name).join(' ')} `);
}

/** The words of a text in one form: lower case, without accents and plural endings. */
function wordsOf(text: string): string[] {
  const plain = text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  return (plain.match(/[a-z]+/g) ?? []).map(singular);
}

function singular(word: string): string {
  return word.replace(/(?<=[sxz]|[cs]h)es$|(?<=[^siu])s$/, '');
}

/** Things that differ from a word by one letter more, less, other or swapped: "backpak", "ubmrella". */
function similarlyWritten(known: Known, word: string): number[] {
  if (word.length < SHORTEST_WORD) return [];
  return known.things.flatMap(({ name, words }, place) =>
    [name, ...words].flatMap(wordsOf).some((other) => other.length >= SHORTEST_WORD && isOneSlip(word, other))
      ? [place]
      : [],
  );
}

function isOneSlip(one: string, other: string): boolean {
  let start = 0;
  while (start < one.length && one[start] === other[start]) start += 1;
  const [rest, otherRest] = [one.slice(start), other.slice(start)];
  const isSwapped = rest.slice(2) === otherRest.slice(2) && rest[0] === otherRest[1] && rest[1] === otherRest[0];
  return (
    rest.slice(1) === otherRest || rest === otherRest.slice(1) || rest.slice(1) === otherRest.slice(1) || isSwapped
  );
}
