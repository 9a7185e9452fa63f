/** A run that failed or was refused: the page shows the cause, that the prompt is kept, a reference and what to do. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { passTime } from '../test/clock';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { generateJob, waitUntilAvailable, pressGenerate, promptField, renderApp } from '../test/render-app';

const PROMPT = 'a teapot';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const buttons = (card: HTMLElement) => within(card).getAllByRole('button').map((button) => button.textContent);

const FAILURES = [
  ['gpu_memory', 'Not enough GPU memory', 'The GPU ran out of memory while drawing.'],
  ['no_capacity', 'No GPU was free', 'No GPU became free for a long time.'],
  ['timeout', 'The drawing got stuck', 'The image model stopped making progress.'],
  ['worker_lost', 'The drawing was interrupted', 'The machine that drew this stopped several times.'],
  ['bad_image', 'The image model drew nothing usable', 'The image model returned unusable pictures.'],
  ['storage_unavailable', "The images couldn't be stored", "The pictures were drawn but couldn't be stored."],
] as const;

test.each(FAILURES)('a job that failed with %s says what happened and what to do', async (code, title, detail) => {
  const { id } = await generateJob(onbrand, PROMPT);
  onbrand.fail(id, { code, title, detail });
  const card = screen.getByRole('article');
  expect(await within(card).findByText(title)).toBeInTheDocument();
  expect(within(card).getByText(`${detail} Your prompt is kept.`)).toBeInTheDocument();
  expect(within(card).getByRole('heading')).toHaveTextContent(PROMPT);
  expect(within(card).getByText(`Reference ${id.slice(0, 8)}`)).toBeInTheDocument();
  expect(buttons(card)).toEqual([expect.stringMatching(/^Try again/), 'Edit prompt', 'Remove']);
  expect(within(card).queryByRole('progressbar')).not.toBeInTheDocument();
});

const REFUSALS = [
  [422, 'prompt_invalid', "The prompt has characters we can't use"],
  [429, 'queue_full', 'The queue is full'],
  [429, 'too_many_queued', 'Too many waiting'],
  [500, 'internal_error', 'Something went wrong on our side'],
] as const;

test.each(REFUSALS)('a request refused with %i %s says what happened', async (status, code, title) => {
  onbrand.answerNext('POST', /generate/, () => problem(status, code, title, 'What to do.'));
  await pressGenerate(PROMPT);
  const card = screen.getByRole('article');
  expect(await within(card).findByText(title)).toBeInTheDocument();
  expect(within(card).getByText('What to do. Your prompt is kept.')).toBeInTheDocument();
  expect(within(card).getByText('Reference req-7f3a')).toBeInTheDocument();
  expect(buttons(card)).toEqual(['Try again', 'Edit prompt', 'Remove']);
  expect(await promptField()).toHaveValue(PROMPT);
});

/** Presses Generate. The server refuses and allows another try after `seconds`. */
async function refusedFor(seconds: number) {
  const headers = { 'Retry-After': String(seconds) };
  const refuse = () => problem(429, 'too_many_submitted', 'Too many in a minute', 'Wait.', headers);
  onbrand.answerNext('POST', /generate/, refuse);
  const page = await pressGenerate(PROMPT);
  await screen.findByText('Too many in a minute');
  return page;
}

test('a refusal with Retry-After counts down, and then the run can be tried again', async () => {
  const { user } = await refusedFor(3);
  const waiting = screen.getByRole('button', { name: 'Try again in 3 s' });
  expect(waiting).toHaveAttribute('aria-disabled', 'true');
  await user.click(waiting);
  await passTime(2_000);
  expect(screen.getByRole('button', { name: 'Try again in 1 s' })).toBeInTheDocument();
  await passTime(1_000);
  const again = screen.getByRole('button', { name: 'Try again' });
  expect(onbrand.submissions).toEqual([]);
  expect(again).not.toHaveAttribute('aria-disabled');
  await user.click(again);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
});

test('a refresh does not shorten the wait', async () => {
  const { unmount } = await refusedFor(90);
  unmount();
  await renderApp();
  const waiting = await screen.findByRole('button', { name: /^Try again in 1 min (30|2\d) s$/ });
  expect(waiting).toHaveAttribute('aria-disabled', 'true');
});

test('a refusal whose Retry-After is a date can be tried again at once', async () => {
  const headers = { 'Retry-After': 'Wed, 28 Jan 2026 14:02:00 GMT' };
  onbrand.answerNext('POST', /generate/, () => problem(429, 'queue_full', 'The queue is full', 'Wait.', headers));
  const { user } = await pressGenerate(PROMPT);
  await screen.findByText('The queue is full');
  await user.click(await waitUntilAvailable('Try again'));
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
});
