/** Says why a picture could not be saved. */
import { ApiProblem, ConnectionLost, isOutOfSpace } from '../api/problem';
import { strings } from '../ui/strings';

/** The sentence to show. The API's own sentences already say what the person can do. */
export function savingErrorText(error: unknown): string {
  if (error instanceof ConnectionLost) return strings.saving.lost;
  if (error instanceof ApiProblem) return error.problem.detail;
  if (isOutOfSpace(error)) return strings.saving.noSpace;
  return `${strings.problem.unknownTitle}. ${strings.retry}.`;
}
