/** Errors of the server and of the network, and that nothing is lost by them. */
import { onlineManager } from '@tanstack/react-query';
import { act, screen, waitFor, within } from '@testing-library/react';
import { HttpResponse } from 'msw';
import { beforeEach, expect, test, vi } from 'vitest';
import { passTime, settle } from '../test/clock';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import {
  expectAnnounced,
  generateButton,
  generateJob,
  pressGenerate,
  promptField,
  renderApp,
  waitUntilAvailable,
} from '../test/render-app';

const PROMPT = 'a teapot';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const percent = () => Number(screen.getByRole('progressbar').getAttribute('aria-valuenow'));
const polls = (id: string) => onbrand.requests.filter((request) => request === `GET /jobs/${id}`).length;
const fourPictures = () => waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));

test('a refused request says what happened, keeps the prompt, and Try again sends the same key', async () => {
  const refusal = () => problem(429, 'too_many_queued', 'Too many waiting', 'Wait for one to finish.');
  onbrand.answerNext('POST', /generate/, refusal);
  const { user } = await pressGenerate(PROMPT);
  const card = await screen.findByRole('article');
  expect(await within(card).findByText('Too many waiting')).toBeInTheDocument();
  expect(within(card).getByText(/Wait for one to finish/)).toBeInTheDocument();
  expect(within(card).getByText('Reference req-7f3a')).toBeInTheDocument();
  expect(await promptField()).toHaveValue(PROMPT);
  const [{ key }] = JSON.parse(sessionStorage.getItem('onbrand.runs.account-1') ?? '[]') as [{ key: string }];

  await waitUntilAvailable('Try again');
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(onbrand.submissions.map((submission) => submission.key)).toEqual([key]));
  expect(screen.getAllByRole('article')).toHaveLength(1);
});

test('a refused request is not repeated by a refresh', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(429, 'too_many_queued', 'Too many waiting'));
  const { unmount } = await pressGenerate(PROMPT);
  await screen.findByText('Too many waiting');
  unmount();
  await renderApp();
  expect(await screen.findByText('Too many waiting')).toBeInTheDocument();
  expect(onbrand.submissions).toEqual([]);
});

test('an error without a problem document still gives a sentence', async () => {
  onbrand.answerNext('POST', /generate/, () => new HttpResponse('<html>teapot</html>', { status: 500 }));
  await pressGenerate(PROMPT);
  expect(await screen.findByText('Something went wrong')).toBeInTheDocument();
  expect(screen.queryByText(/html/)).not.toBeInTheDocument();
});

test('if the connection is lost during sending, the request is repeated with the same key', async () => {
  onbrand.answerNext('POST', /generate/, () => HttpResponse.error(), 2);
  await pressGenerate(PROMPT);
  expect(await screen.findByText(/Trying again. Your prompt is kept/)).toBeInTheDocument();
  expect(screen.getByRole('complementary')).toHaveTextContent("Onbrand can't be reached");
  await passTime(1_000);
  await passTime(2_000); // the second pause is longer
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
  await waitFor(() => expect(screen.queryByRole('complementary')).not.toBeInTheDocument());
  expect(onbrand.requests.filter((request) => request === 'POST /generate')).toHaveLength(3);
  expect(screen.queryByText(/Something went wrong/)).not.toBeInTheDocument();
});

test('Retry now sends the request at once', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(503, 'database_unavailable', 'The database is away'), 3);
  const { user } = await pressGenerate(PROMPT);
  const tries = () => onbrand.requests.filter((request) => request === 'POST /generate').length;
  await waitFor(() => expect(tries()).toBe(1));
  await passTime(1_000);
  await waitFor(() => expect(tries()).toBe(2));
  await passTime(2_000);
  await waitFor(() => expect(tries()).toBe(3));
  const before = Date.now();
  await user.click(screen.getByRole('button', { name: 'Retry now' }));
  await waitFor(() => expect(onbrand.jobs.size).toBe(1));
  expect(Date.now() - before).toBeLessThan(3_000); // without the click, the next try would come after 4 s
});

test('if the stream breaks, the page polls, and the run completes', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.answerNext('GET', /events/, () => problem(503, 'database_unavailable', 'The database is away'), 100);
  onbrand.dropStreams(id);
  onbrand.draw(id, 6, 48);
  await passTime(1_500);
  await waitFor(() => expect(percent()).toBe(48));
  onbrand.complete(id);
  await passTime(1_500);
  await fourPictures();
});

test('a stream that ends with its token is taken up by another, and nobody sees it', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 6, 48);
  await waitFor(() => expect(percent()).toBe(48));
  onbrand.dropStreams(id); // the server ends a stream in good order when the token of its request expires
  await waitFor(() => expect(onbrand.isStreamed(id)).toBe(false));
  await passTime(1_000);
  expect(percent()).toBe(48);
  expect(screen.queryByRole('complementary')).not.toBeInTheDocument();
  expect(screen.queryByRole('alert')).not.toBeInTheDocument();
  await passTime(1_000);
  await waitFor(() => expect(onbrand.isStreamed(id)).toBe(true));
  onbrand.draw(id, 7, 56);
  await waitFor(() => expect(percent()).toBe(56));
  onbrand.complete(id);
  await fourPictures();
});

test('the page does not poll while the stream reports, nor after the end', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 1, 11);
  await waitFor(() => expect(percent()).toBe(11));
  const before = polls(id);
  await passTime(10_000); // several times the pause between two polls
  await settle();
  expect(polls(id)).toBe(before);
  onbrand.complete(id);
  await fourPictures();
  await passTime(10_000);
  await settle();
  expect(polls(id)).toBe(before);
  expect(onbrand.requests.filter((request) => request.endsWith('/events'))).toHaveLength(1);
});

test('server errors during polling do not end a run', async () => {
  const { id } = await generateJob(onbrand);
  const failing = () => problem(500, 'internal_error', 'Something went wrong on our side');
  onbrand.answerNext('GET', /events/, failing, 100);
  onbrand.answerNext('GET', /jobs\/[^/]+$/, failing, 2);
  onbrand.dropStreams(id);
  await passTime(1_500);
  await waitFor(() => expect(polls(id)).toBeGreaterThan(1));
  expect(screen.getByRole('progressbar')).toBeInTheDocument();
  onbrand.complete(id);
  await passTime(5_000); // the pauses after errors are longer
  await fourPictures();
});

test('percent never falls when an older state arrives late', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 6, 48);
  await waitFor(() => expect(percent()).toBe(48));
  const job = onbrand.job(0);
  onbrand.send(id, { ...job, progress: { ...job.progress, step: 2, percent: 19 } });
  await screen.findByText(/step 2 of 12/);
  expect(percent()).toBe(48);
  onbrand.draw(id, 7, 55);
  await waitFor(() => expect(percent()).toBe(55));
});

test('the late answer to a poll does not undo what the stream has reported since', async () => {
  let release: () => void = () => undefined;
  onbrand.answerNext('GET', /jobs\/[^/]+$/, async () => {
    const old = onbrand.job(0);
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return HttpResponse.json(old); // still queued
  });
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 6, 48);
  await waitFor(() => expect(percent()).toBe(48));
  release();
  await settle();
  expect(percent()).toBe(48);
});

test('Cancel cancels the run, and the card says so', async () => {
  const { id, user } = await generateJob(onbrand);
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  const card = await screen.findByRole('article');
  expect(await within(card).findByText('Cancelled')).toBeInTheDocument();
  expect(onbrand.cancelled).toEqual([id]);
  expect(within(card).queryByTestId('square')).not.toBeInTheDocument();
  await expectAnnounced('Cancelled');
});

test('if cancelling fails, the page says so, and Cancel can be pressed again', async () => {
  const { user } = await generateJob(onbrand);
  onbrand.answerNext('DELETE', /jobs/, () => problem(503, 'database_unavailable', 'The database is away'));
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  expect(await screen.findByText("It couldn't be cancelled. Try again.")).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  expect(await within(screen.getByRole('article')).findByText('Cancelled')).toBeInTheDocument();
});

test('a failed job shows cause and reference, and Edit prompt puts the prompt into the field', async () => {
  const { id, user } = await generateJob(onbrand);
  await user.clear(await promptField());
  onbrand.fail(id, { code: 'gpu_memory', title: 'Not enough GPU memory', detail: 'Try again in a moment.' });
  const card = await screen.findByRole('article');
  expect(await within(card).findByText('Not enough GPU memory')).toBeInTheDocument();
  expect(within(card).getByText(/Try again in a moment. Your prompt is kept./)).toBeInTheDocument();
  expect(within(card).getByText(`Reference ${id.slice(0, 8)}`)).toBeInTheDocument();
  await expectAnnounced('Failed: Not enough GPU memory');
  await user.click(within(card).getByRole('button', { name: 'Edit prompt' }));
  expect(await promptField()).toHaveValue(PROMPT);
  expect(await promptField()).toHaveFocus();

  await waitUntilAvailable('Try again');
  await user.click(within(card).getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  expect(screen.getAllByRole('article')).toHaveLength(1);
});

test('after a refresh, a deleted job says so and can be generated again', async () => {
  const { id, unmount } = await generateJob(onbrand);
  onbrand.complete(id);
  await fourPictures();
  unmount();
  onbrand.answerNext('GET', /jobs/, () => problem(410, 'job_expired', 'Deleted after the retention time'), 100);
  const { user } = await renderApp();
  expect(await screen.findByText('Deleted after 30 days')).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Generate again' }));
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
});

test('if a picture was deleted meanwhile, the run is shown as expired, without broken images', async () => {
  const { id } = await generateJob(onbrand);
  const gone = () => problem(410, 'job_expired', 'Deleted after the retention time');
  onbrand.answerNext('GET', /images/, gone, 100);
  onbrand.complete(id);
  onbrand.answerNext('GET', /jobs\/[^/]+$/, gone, 100);
  expect(await screen.findByText('Deleted after 30 days')).toBeInTheDocument();
  expect(screen.queryByRole('img')).not.toBeInTheDocument();
});

test('if a picture is deleted and its job is not, the page asks for the job once, not for ever', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.answerNext('GET', /images\/2/, () => problem(410, 'job_expired', 'Deleted after the retention time'), 100);
  const before = polls(id);
  onbrand.complete(id);
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  await passTime(10_000);
  await settle();
  expect(polls(id)).toBe(before + 1);
  expect(screen.getAllByRole('img')).toHaveLength(3);
});

test('a job that the server does not know can be removed', async () => {
  const { unmount } = await generateJob(onbrand);
  unmount();
  onbrand.jobs.clear();
  const { user } = await renderApp();
  expect(await screen.findByText(/can't be found/)).toBeInTheDocument();
  await user.click(screen.getByRole('button', { name: 'Remove' }));
  expect(screen.queryByRole('article')).not.toBeInTheDocument();
});

test('a picture that cannot be loaded says so and can be tried again; the others are shown', async () => {
  const { id, user } = await generateJob(onbrand);
  onbrand.answerNext('GET', /images\/3/, () => problem(500, 'image_corrupt', 'The stored image is damaged'));
  onbrand.complete(id);
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  expect(screen.getAllByRole('img')).toHaveLength(3);
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
});

test('offline, Generate is off and says why, and the prompt stays', async () => {
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

test('a hidden page closes its stream and polls', async () => {
  const { id } = await generateJob(onbrand);
  const streams = () => onbrand.requests.filter((request) => request.endsWith('/events')).length;
  onbrand.draw(id, 1, 11);
  await waitFor(() => expect(percent()).toBe(11));
  const [pollsBefore, streamsBefore] = [polls(id), streams()];
  const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
  act(() => void document.dispatchEvent(new Event('visibilitychange')));
  await passTime(1_500);
  await waitFor(() => expect(polls(id)).toBeGreaterThan(pollsBefore));
  visibility.mockReturnValue('visible');
  act(() => void document.dispatchEvent(new Event('visibilitychange')));
  await waitFor(() => expect(streams()).toBe(streamsBefore + 1));
});

test('when the focused button disappears, the focus moves to the heading of its run', async () => {
  const { user } = await generateJob(onbrand, PROMPT);
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  const card = screen.getByRole('article');
  expect(await within(card).findByText('Cancelled')).toBeInTheDocument();
  await waitFor(() => expect(within(card).getByRole('heading', { name: PROMPT })).toHaveFocus());
  await user.click(within(card).getByRole('button', { name: 'Remove' }));
  await waitFor(async () => expect(await promptField()).toHaveFocus());
});

test('offline, Generate More is off', async () => {
  const { user, id } = await generateJob(onbrand, PROMPT);
  onbrand.complete(id);
  await fourPictures();
  await waitUntilAvailable('Generate More');
  act(() => onlineManager.setOnline(false));
  expect(screen.getByRole('button', { name: 'Generate More' })).toHaveAttribute('aria-disabled', 'true');
  await user.click(screen.getByRole('button', { name: 'Generate More' }));
  expect(screen.getAllByRole('article')).toHaveLength(1);
  act(() => onlineManager.setOnline(true));
});

test('a picture that sends no bytes for 20 s can be tried again', async () => {
  const { id } = await generateJob(onbrand, PROMPT);
  onbrand.answerNext('GET', /images\/2$/, () => new Promise<Response>(() => undefined), 10);
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(3));
  expect(screen.getByText('Loading…')).toBeInTheDocument();
  await passTime(120_000);
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
});
