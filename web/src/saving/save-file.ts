/** Puts files on the person's disk, and says what can be done when they don't get there. */
import { ApiProblem, ConnectionLost, isOutOfSpace } from '../api/problem';
import { strings } from '../ui/strings';

/** Browsers read the address some time after the click; a minute is long enough for the slowest disk dialogue. */
const KEEP_ADDRESS_MS = 60_000;

export function save(file: File): void {
  const link = document.createElement('a');
  link.href = lendAddress(file);
  link.download = file.name;
  link.click();
}

/** An address for somebody outside the page, who fetches it within a minute. */
export function lendAddress(file: File): string {
  const address = URL.createObjectURL(file);
  window.setTimeout(() => URL.revokeObjectURL(address), KEEP_ADDRESS_MS);
  return address;
}

/** Why a picture couldn't be had, as a sentence. The API's own sentences already say what to do. */
export function troubleOf(error: unknown): string {
  if (error instanceof ConnectionLost) return strings.saving.lost;
  if (error instanceof ApiProblem) return error.problem.detail;
  if (isOutOfSpace(error)) return strings.saving.noSpace;
  return `${strings.problem.unknownTitle}. ${strings.retry}.`;
}

export function isGone(error: unknown): boolean {
  return error instanceof ApiProblem && error.problem.status === 410;
}
