/** What a person can do on the card of a run. The page provides these actions, and the parts of the card call them. */
import type { Job } from '../api/get-job';
import type { Run } from './run';

export type RunActions = {
  /**
   * False while the browser is offline, and for a second after a run with this prompt was started: a second press
   * within that time is a double press. Buttons that start such a run are off then.
   */
  canStart: (prompt: string) => boolean;
  /**
   * Starts a run, which is sent when the runs before it have been answered. `replaced` is an ended run without
   * pictures, which the new run replaces.
   */
  start: (prompt: string, replaced?: Run) => void;
  /** Takes back a run that the API hasn't accepted yet. */
  takeBack: (run: Run) => void;
  /** Removes a run from the page. `key` is the run's key. */
  remove: (key: string) => void;
  /** The page shows all pictures of this run that it could load. `key` is the run's key. */
  markShown: (key: string) => void;
  /** Puts a prompt into the composer. */
  editPrompt: (prompt: string) => void;
  /** Shows a newer state of a job that came with another call, such as the answer to a cancel. */
  updateJob: (job: Job) => void;
  /** Asks the API for a job again, because its pictures turned out to be deleted. */
  recheckJob: (jobId: string) => void;
};
