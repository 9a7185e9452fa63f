/** What goes wrong, and that nothing is lost by it. */
import { onlineManager } from '@tanstack/react-query';
import { act, screen, waitFor, within } from '@testing-library/react';
import { HttpResponse } from 'msw';
import { beforeEach, expect, test, vi } from 'vitest';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { follow, generateButton, pressable, pressGenerate, promptField, renderApp } from '../test/render-app';

const PROMPT = 'a teapot';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const percent = () => Number(screen.getByRole('progressbar').getAttribute('aria-valuenow'));
const polls = (id: string) => onbrand.requests.filter((request) => request === `GET /jobs/${id}`).length;
const fourPictures = () =>
  waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4), { timeout: 6_000 });

test('a refused request says what happened, keeps the prompt, and is tried again with the same key', async () => {
  const refusal = () => problem(429, 'too_many_queued', 'Too many waiting', 'Wait for one to finish.');
  onbrand.once('POST', /generate/, refusal);
  const { user } = await pressGenerate(PROMPT);
  const card = await screen.findByRole('article');
  expect(await within(card).findByText('Too many waiting')).toBeInTheDocument();
  expect(within(card).getByText(/Wait for one to finish/)).toBeInTheDocument();
  expect(within(card).getByText('Reference req-7f3a')).toBeInTheDocument();
  expect(await promptField()).toHaveValue(PROMPT);
  const [{ key }] = JSON.parse(sessionStorage.getItem('onbrand.runs.account-1') ?? '[]') as [{ key: string }];

  await pressable('Try again');
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(onbrand.submissions.map((submission) => submission.key)).toEqual([key]));
  expect(screen.getAllByRole('article')).toHaveLength(1);
});

test('a refused request is not repeated by a refresh', async () => {
  onbrand.once('POST', /generate/, () => problem(429, 'too_many_queued', 'Too many waiting'));
  const { unmount } = await pressGenerate(PROMPT);
  await screen.findByText('Too many waiting');
  unmount();
  await renderApp();
  expect(await screen.findByText('Too many waiting')).toBeInTheDocument();
  expect(onbrand.submissions).toEqual([]);
});

test('an answer that is no problem document still becomes a sentence', async () => {
  onbrand.once('POST', /generate/, () => new HttpResponse('<html>teapot</html>', { status: 500 }));
  await pressGenerate(PROMPT);
  expect(await screen.findByText('Something went wrong')).toBeInTheDocument();
  expect(screen.queryByText(/html/)).not.toBeInTheDocument();
});

test('a lost connection while sending is repeated with the same key and is no failure', async () => {
  onbrand.once('POST', /generate/, () => HttpResponse.error(), 2);
  await pressGenerate(PROMPT);
  expect(await screen.findByText(/Trying again; your prompt is kept/)).toBeInTheDocument();
  expect(screen.getByRole('complementary')).toHaveTextContent("Onbrand can't be reached just now");
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1), { timeout: 8_000 });
  await waitFor(() => expect(screen.queryByRole('complementary')).not.toBeInTheDocument(), { timeout: 3_000 });
  expect(onbrand.requests.filter((request) => request === 'POST /generate')).toHaveLength(3);
  expect(screen.queryByText(/Something went wrong/)).not.toBeInTheDocument();
});

test('Retry now does not wait for the next try', async () => {
  onbrand.once('POST', /generate/, () => problem(503, 'database_unavailable', 'The database is away'), 3);
  const { user } = await pressGenerate(PROMPT);
  await waitFor(() => expect(onbrand.requests.filter((request) => request === 'POST /generate')).toHaveLength(3), {
    timeout: 8_000,
  });
  // The next try by itself would be 4 s away.
  await user.click(screen.getByRole('button', { name: 'Retry now' }));
  await waitFor(() => expect(onbrand.jobs.size).toBe(1), { timeout: 2_000 });
});

test('a dropped stream falls back to polling and the run finishes', async () => {
  const { id } = await follow(onbrand);
  onbrand.once('GET', /events/, () => problem(503, 'database_unavailable', 'The database is away'), 100);
  onbrand.dropStreams(id);
  onbrand.draw(id, 6, 48);
  await waitFor(() => expect(percent()).toBe(48), { timeout: 4_000 });
  onbrand.complete(id);
  await fourPictures();
});

test('polling rests while the stream speaks, and after the end', async () => {
  const { id } = await follow(onbrand);
  onbrand.draw(id, 1, 11);
  await waitFor(() => expect(percent()).toBe(11));
  const before = polls(id);
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // longer than the pause between two polls
  expect(polls(id)).toBe(before);
  onbrand.complete(id);
  await fourPictures();
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(polls(id)).toBe(before);
  expect(onbrand.requests.filter((request) => request.endsWith('/events'))).toHaveLength(1);
});

test('server errors while following do not end a run', async () => {
  const { id } = await follow(onbrand);
  const failing = () => problem(500, 'internal_error', 'Something went wrong on our side');
  onbrand.once('GET', /events/, failing, 100);
  onbrand.once('GET', /jobs\/[^/]+$/, failing, 2);
  onbrand.dropStreams(id);
  await waitFor(() => expect(polls(id)).toBeGreaterThan(1), { timeout: 4_000 });
  expect(screen.getByRole('progressbar')).toBeInTheDocument();
  onbrand.complete(id);
  await fourPictures();
});

test('percent never falls when news was overtaken, and nothing comes after the end', async () => {
  const { id } = await follow(onbrand);
  onbrand.draw(id, 6, 48);
  await waitFor(() => expect(percent()).toBe(48));
  const overtaken = onbrand.job(0);
  onbrand.send(id, { ...overtaken, progress: { ...overtaken.progress, step: 2, percent: 19 } });
  await screen.findByText(/step 2 of 12/);
  expect(percent()).toBe(48);
  onbrand.draw(id, 7, 55);
  await waitFor(() => expect(percent()).toBe(55));
});

test('a poll on its way does not undo what the stream has said since', async () => {
  let release: () => void = () => undefined;
  onbrand.once('GET', /jobs\/[^/]+$/, async () => {
    const old = onbrand.job(0);
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return HttpResponse.json(old); // still queued
  });
  const { id } = await follow(onbrand);
  onbrand.draw(id, 6, 48);
  await waitFor(() => expect(percent()).toBe(48));
  release();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(percent()).toBe(48);
});

test('Cancel stops the run, and the card says so quietly', async () => {
  const { id, user } = await follow(onbrand);
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  const card = await screen.findByRole('article');
  expect(await within(card).findByText('Cancelled')).toBeInTheDocument();
  expect(onbrand.cancelled).toEqual([id]);
  expect(within(card).queryByTestId('square')).not.toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent('Cancelled');
});

test('a cancel that fails says so and can be pressed again', async () => {
  const { user } = await follow(onbrand);
  onbrand.once('DELETE', /jobs/, () => problem(503, 'database_unavailable', 'The database is away'));
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  expect(await screen.findByText("It couldn't be cancelled. Try again.")).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  expect(await within(screen.getByRole('article')).findByText('Cancelled')).toBeInTheDocument();
});

test('a failed job shows cause, next steps and a reference; Edit prompt brings the text back', async () => {
  const { id, user } = await follow(onbrand);
  await user.clear(await promptField());
  onbrand.fail(id, { code: 'gpu_memory', title: 'Not enough GPU memory', detail: 'Try again in a moment.' });
  const card = await screen.findByRole('article');
  expect(await within(card).findByText('Not enough GPU memory')).toBeInTheDocument();
  expect(within(card).getByText(/Try again in a moment. Your prompt is kept./)).toBeInTheDocument();
  expect(within(card).getByText(`Reference ${id.slice(0, 8)}`)).toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent('Failed: Not enough GPU memory');
  await user.click(within(card).getByRole('button', { name: 'Edit prompt' }));
  expect(await promptField()).toHaveValue(PROMPT);
  expect(await promptField()).toHaveFocus();

  await pressable('Try again');
  await user.click(within(card).getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  expect(screen.getAllByRole('article')).toHaveLength(1);
});

test('a job that is past its time says so after a refresh and can be generated again', async () => {
  const { id, unmount } = await follow(onbrand);
  onbrand.complete(id);
  await fourPictures();
  unmount();
  onbrand.once('GET', /jobs/, () => problem(410, 'job_expired', 'Deleted after the retention time'), 100);
  const { user } = await renderApp();
  expect(await screen.findByText('Deleted after 30 days')).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Generate again' }));
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
});

test('a picture that has expired meanwhile ends the run as expired, never as a broken image', async () => {
  const { id } = await follow(onbrand);
  const gone = () => problem(410, 'job_expired', 'Deleted after the retention time');
  onbrand.once('GET', /images/, gone, 100);
  onbrand.complete(id);
  onbrand.once('GET', /jobs\/[^/]+$/, gone, 100);
  expect(await screen.findByText('Deleted after 30 days')).toBeInTheDocument();
  expect(screen.queryByRole('img')).not.toBeInTheDocument();
});

test('a picture that is gone while its job is still there asks about the job once, not for ever', async () => {
  const { id } = await follow(onbrand);
  onbrand.once('GET', /images\/2/, () => problem(410, 'job_expired', 'Deleted after the retention time'), 100);
  const before = polls(id);
  onbrand.complete(id);
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(polls(id)).toBe(before + 1);
  expect(screen.getAllByRole('img')).toHaveLength(3);
});

test('a job that is not there any more can be removed', async () => {
  const { unmount } = await follow(onbrand);
  unmount();
  onbrand.jobs.clear();
  const { user } = await renderApp();
  expect(await screen.findByText(/isn't here any more/)).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Remove' }));
  expect(screen.queryByRole('article')).not.toBeInTheDocument();
});

test('a picture that fails to load says so and can be retried; the others are shown', async () => {
  const { id, user } = await follow(onbrand);
  onbrand.once('GET', /images\/3/, () => problem(500, 'image_corrupt', 'The stored image is damaged'));
  onbrand.complete(id);
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  expect(screen.getAllByRole('img')).toHaveLength(3);
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
});

test('offline, Generate says why it waits and the prompt stays', async () => {
  const { user } = await renderApp();
  await user.type(await promptField(), PROMPT);
  act(() => onlineManager.setOnline(false));
  expect(screen.getByRole('complementary')).toHaveTextContent("You're offline");
  expect(generateButton()).toHaveAccessibleDescription(/You're offline/);
  await user.click(generateButton());
  expect(screen.queryByRole('article')).not.toBeInTheDocument();
  act(() => onlineManager.setOnline(true));
  expect(screen.queryByRole('complementary')).not.toBeInTheDocument();
  expect(await promptField()).toHaveValue(PROMPT);
});

test('a hidden page gives its stream back and polls', async () => {
  const { id } = await follow(onbrand);
  const streams = () => onbrand.requests.filter((request) => request.endsWith('/events')).length;
  onbrand.draw(id, 1, 11);
  await waitFor(() => expect(percent()).toBe(11));
  const [pollsBefore, streamsBefore] = [polls(id), streams()];
  const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
  act(() => void document.dispatchEvent(new Event('visibilitychange')));
  await waitFor(() => expect(polls(id)).toBeGreaterThan(pollsBefore), { timeout: 4_000 });
  visibility.mockReturnValue('visible');
  act(() => void document.dispatchEvent(new Event('visibilitychange')));
  await waitFor(() => expect(streams()).toBe(streamsBefore + 1));
});

test('the keyboard keeps its place when the button that was pressed goes away', async () => {
  const { user } = await follow(onbrand, PROMPT);
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  const card = screen.getByRole('article');
  expect(await within(card).findByText('Cancelled')).toBeInTheDocument();
  await waitFor(() => expect(within(card).getByRole('heading', { name: PROMPT })).toHaveFocus());
  await user.click(within(card).getByRole('button', { name: 'Remove' }));
  await waitFor(async () => expect(await promptField()).toHaveFocus());
});

test('offline, nothing that would be sent can be pressed, and a run that was not sent says so', async () => {
  const { user, id } = await follow(onbrand, PROMPT);
  onbrand.complete(id);
  await fourPictures();
  await pressable('Generate More');
  act(() => onlineManager.setOnline(false));
  expect(screen.getByRole('button', { name: 'Generate More' })).toHaveAttribute('aria-disabled', 'true');
  await user.click(screen.getByRole('button', { name: 'Generate More' }));
  expect(screen.getAllByRole('article')).toHaveLength(1);
  act(() => onlineManager.setOnline(true));
});

test('a picture that sends nothing for a while can be asked for again', async () => {
  const { id } = await follow(onbrand, PROMPT);
  vi.useFakeTimers({ shouldAdvanceTime: true });
  onbrand.once('GET', /images\/2$/, () => new Promise<Response>(() => undefined), 10);
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(3), { timeout: 4_000 });
  expect(screen.getByText('Loading…')).toBeInTheDocument();
  await act(() => vi.advanceTimersByTimeAsync(120_000));
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  vi.useRealTimers();
});
