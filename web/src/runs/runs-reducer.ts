/** The list of this tab's runs, newest first, and how it changes. */
import { isUnanswered, type Refusal, type Run } from './run';

export type RunsAction =
  /** `replaces` is the key of an ended run that the new one replaces. The new run may have the same key. */
  | { type: 'start'; key: string; prompt: string; pressedAt: number; replaces?: string | undefined }
  | { type: 'accept'; key: string; jobId: string }
  | { type: 'refuse'; key: string; refusal: Refusal }
  /** Only before the API has answered. */
  | { type: 'take back'; key: string }
  | { type: 'remove'; key: string };

export function runsReducer(runs: Run[], action: RunsAction): Run[] {
  switch (action.type) {
    case 'start': {
      const { key, prompt, pressedAt, replaces } = action;
      const others = runs.filter((run) => run.key !== replaces);
      if (others.some((run) => run.key === key)) return runs;
      return [{ key, prompt, pressedAt, jobId: null, refusal: null }, ...others];
    }
    // Only the first answer counts.
    case 'accept':
      return updateRun(runs, action.key, (run) => (isUnanswered(run) ? { ...run, jobId: action.jobId } : run));
    case 'refuse':
      return updateRun(runs, action.key, (run) => (isUnanswered(run) ? { ...run, refusal: action.refusal } : run));
    case 'take back':
      return updateRun(runs, action.key, (run) => (isUnanswered(run) ? { ...run, isTakenBack: true } : run));
    case 'remove':
      return runs.filter((run) => run.key !== action.key);
  }
}

function updateRun(runs: Run[], key: string, update: (run: Run) => Run): Run[] {
  return runs.map((run) => (run.key === key ? update(run) : run));
}
