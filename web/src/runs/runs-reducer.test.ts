/** The list of runs and the newest state of a job, for actions and answers in any order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Job } from '../api/get-job';
import { newerJob } from './newer-job';
import { parseRuns, type Run } from './run';
import { runsReducer, type RunsAction } from './runs-reducer';

const PROBLEM = { status: 429, code: 'too_many_queued', title: 'Too many waiting', detail: '', requestId: '' };
const keys = fc.constantFrom('a', 'b', 'c', 'd');
const actions: fc.Arbitrary<RunsAction> = fc.oneof(
  fc.record({
    type: fc.constant('start' as const),
    key: keys,
    prompt: fc.string(),
    pressedAt: fc.nat(),
    replaces: fc.option(keys, { nil: undefined }),
  }),
  fc.record({ type: fc.constant('accept' as const), key: keys, jobId: fc.constantFrom('job-1', 'job-2', 'job-3') }),
  fc.record({ type: fc.constant('refuse' as const), key: keys, refusal: fc.constant(PROBLEM) }),
  fc.record({ type: fc.constant('remove' as const), key: keys }),
);

test('keys stay unique, answers stay, and only removal or replacement takes a run away', () => {
  fc.assert(
    fc.property(fc.array(actions, { maxLength: 30 }), (sequence) => {
      let runs: Run[] = [];
      for (const action of sequence) {
        const next = runsReducer(runs, action);
        expect(new Set(next.map(({ key }) => key)).size).toBe(next.length);
        const gone = action.type === 'remove' ? action.key : action.type === 'start' ? action.replaces : undefined;
        for (const before of runs.filter(({ key }) => key !== gone)) {
          const after = next.find(({ key }) => key === before.key);
          expect(after?.prompt).toBe(before.prompt);
          expect(after?.jobId).toBe(before.jobId ?? after?.jobId);
          expect(after?.refusal).toBe(before.refusal ?? after?.refusal);
          expect(after?.jobId === null || after?.refusal === null).toBe(true);
        }
        // A new run is on top. The others keep their order below it.
        if (action.type === 'start' && next !== runs) expect(next[0]?.key).toBe(action.key);
        const both = (list: Run[]) =>
          list.map(({ key }) => key).filter((key) => key !== gone && runs.some((run) => run.key === key));
        expect(both(next)).toEqual(both(runs));
        runs = next;
      }
      expect(parseRuns(JSON.parse(JSON.stringify(runs)))).toEqual(runs);
    }),
  );
});

test('stored values that are no runs are left out', () => {
  const run: Run = { key: 'a', prompt: 'a teapot', pressedAt: 1, jobId: null, refusal: null };
  fc.assert(
    fc.property(fc.anything(), (stored) => {
      expect(Array.isArray(parseRuns(stored))).toBe(true);
    }),
  );
  expect(parseRuns([run, null, 7, { ...run, key: 7 }, { ...run, jobId: 7 }])).toEqual([run]);
});

const progress = { phase: null, step: 0, steps: 12, queue_position: null, eta_seconds: null, is_late: false };
const views: fc.Arbitrary<Job> = fc
  .record({
    id: fc.constantFrom('job-1', 'job-2'),
    status: fc.constantFrom('queued' as const, 'processing' as const, 'complete' as const, 'failed' as const),
    percent: fc.integer({ min: 0, max: 99 }),
    hasPreviews: fc.boolean(),
  })
  .map(({ id, status, percent, hasPreviews }) => ({
    id,
    status,
    prompt: 'a teapot',
    prompt_truncated: null,
    prompt_ignored: null,
    created_at: '2026-01-28T14:02:00Z',
    started_at: null,
    completed_at: null,
    expires_at: null,
    images: [],
    user_id: 'user',
    seeds: [1, 2, 3, 4],
    attempt: 1,
    progress: { ...progress, percent, previews: hasPreviews ? [1, 2, 3, 4].map((n) => `${id} ${percent} ${n}`) : [] },
    error: null,
    pack: null,
  }));

test('in any order of answers, percent never falls, a final state stays, and jobs are not mixed up', () => {
  fc.assert(
    fc.property(fc.array(views, { minLength: 1, maxLength: 20 }), (answers) => {
      let known: Job | undefined;
      for (const view of answers) {
        const next: Job = newerJob(known, view);
        if (known) {
          expect(next.id).toBe(known.id);
          if (known.status === 'complete' || known.status === 'failed') expect(next).toBe(known);
          if (known.status === 'processing' && next.status === 'processing') {
            expect(next.progress.percent).toBeGreaterThanOrEqual(known.progress.percent);
            if (known.progress.previews.length > 0) expect(next.progress.previews).toHaveLength(4);
          }
        }
        for (const preview of next.progress.previews) expect(preview).toMatch(new RegExp(`^${next.id} `));
        known = next;
      }
    }),
  );
});

test('a new attempt starts at 0 %, and answers about the attempt before are ignored', () => {
  const [view] = fc.sample(views, 1);
  if (view === undefined) throw new Error('no view');
  const before: Job = { ...view, status: 'processing', attempt: 1, progress: { ...view.progress, percent: 75 } };
  const after: Job = { ...before, attempt: 2, progress: { ...view.progress, percent: 8 } };
  expect(newerJob(before, after)).toBe(after);
  expect(newerJob(after, before)).toBe(after);
});
