import { describe, expect, test } from 'vitest';
import type { Job } from '../api/get-job';
import { NO_PROGRESS } from '../test/fake-onbrand';
import { progressText } from './progress-text';

function job(status: Job['status'], progress: Partial<Job['progress']>): Job {
  return {
    id: 'job-1',
    prompt: 'a teapot',
    prompt_truncated: null,
    prompt_ignored: null,
    status,
    created_at: '2026-01-28T14:02:00Z',
    started_at: status === 'queued' ? null : '2026-01-28T14:02:00Z',
    completed_at: null,
    expires_at: null,
    images: [],
    user_id: 'user',
    seeds: [1, 2, 3, 4],
    attempt: 1,
    progress: { ...NO_PROGRESS, ...progress },
    error: null,
    pack: null,
  };
}

/** The text `waited` seconds after the press. The job's state is `age` seconds old. */
function line(view: Job | null, waited: number, age = 0, more: { isAccepted?: boolean; isRetrying?: boolean } = {}) {
  const now = 1_000_000;
  const times = { now, pressedAt: now - waited * 1000, receivedAt: now - age * 1000 };
  const usual = { isAccepted: false, isRetrying: false, isConnected: true };
  const { stage, detail } = progressText(view, { ...times, ...usual, ...more });
  return detail === '' ? stage : `${stage} · ${detail}`;
}

describe('the text about an unfinished run', () => {
  test('before the server has answered', () => {
    expect(line(null, 0)).toBe('Sending…');
    expect(line(null, 3, 0, { isRetrying: true })).toBe('Not sent yet · Trying again. Your prompt is kept.');
    expect(line(null, 3, 0, { isAccepted: true })).toBe('Checking the status…');
  });

  test('while it waits', () => {
    expect(line(job('queued', { phase: 'waiting', queue_position: 1, eta_seconds: 8 }), 1)).toBe(
      'Next in line · about 8 s',
    );
    expect(line(job('queued', { phase: 'waiting', queue_position: 3, eta_seconds: 133 }), 1)).toBe(
      '3rd in line · about 2 min 15 s',
    );
    expect(line(job('queued', { phase: 'starting_gpu' }), 12)).toBe('Waiting for a machine · 12 s so far');
    expect(line(job('queued', { phase: 'loading_model' }), 61)).toBe('Loading the model · 1 min 1 s so far');
    expect(line(job('queued', {}), 5)).toBe('Waiting · 5 s so far');
  });

  test('while it is drawn', () => {
    expect(line(job('processing', { phase: 'encoding' }), 2)).toBe('Reading your prompt · 2 s so far');
    expect(line(job('processing', { phase: 'drawing', step: 17, steps: 28, eta_seconds: 14 }), 20)).toBe(
      'Drawing · step 17 of 28 · about 14 s',
    );
    expect(line(job('processing', { phase: 'saving', eta_seconds: 1 }), 20)).toBe('Saving the pictures · about 1 s');
  });

  test('if the server reports that a job is late, the text says so instead of the estimate', () => {
    const late = { phase: 'drawing', step: 3, steps: 12, eta_seconds: 20, is_late: true } as const;
    expect(line(job('processing', late), 40)).toBe('Drawing · step 3 of 12 · longer than usual, 40 s so far');
    expect(line(job('queued', { phase: 'starting_gpu', is_late: true }), 95)).toBe(
      'Waiting for a machine · longer than usual, 1 min 35 s so far',
    );
  });

  test('once drawing has begun, the seconds are those of the drawing, without the waiting in line', () => {
    const drawing = job('processing', { phase: 'drawing', step: 3, steps: 12, is_late: true });
    const waited = { ...drawing, started_at: '2026-01-28T14:02:36Z' };
    expect(line(waited, 76)).toBe('Drawing · step 3 of 12 · longer than usual, 40 s so far');
  });

  test('the seconds count down between two messages, and the text says when they are over', () => {
    const drawing = job('processing', { phase: 'drawing', step: 1, steps: 12, eta_seconds: 10 });
    expect(line(drawing, 10, 4)).toMatch(/about 6 s$/);
    expect(line(drawing, 20, 10)).toMatch(/any moment now$/);
    expect(line(drawing, 30, 20)).toMatch(/longer than usual, 30 s so far$/);
  });
});
