/** "Was this useful?": asked rarely, about one run, and easy to answer or to close. */
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { settle } from '../test/clock';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { expectAnnounced, generateJob, renderApp, waitUntilAvailable } from '../test/render-app';
import { recordDownloads } from '../test/downloads';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
  onbrand.mayAsk = true;
  recordDownloads();
});

const TITLE = 'Was this useful?';
const question = () => screen.queryByRole('region', { name: TITLE });
/** Clicks a button on the newest run. */
function press(name: string): void {
  const [newest = document.body] = screen.getAllByRole('article');
  fireEvent.click(within(newest).getByRole('button', { name }));
}
const pictures = (count: number) =>
  waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(count));
const counts = (call: RegExp) => onbrand.requests.filter((request) => call.test(request)).length;

async function completeRun() {
  const page = await generateJob(onbrand);
  onbrand.complete(page.id);
  await pictures(4);
  return page;
}

async function generateMore(runsBefore: number) {
  await waitUntilAvailable('Generate');
  press('Generate More');
  await waitFor(() => expect(onbrand.jobs.size).toBe(runsBefore + 1));
  onbrand.complete(onbrand.job(runsBefore).id);
  await pictures((runsBefore + 1) * 4);
}

/** Completes a run and saves a picture of it, so that the question is on the page. */
async function askedRun() {
  const page = await completeRun();
  press('Download illustration 2');
  await screen.findByText(TITLE);
  return page;
}

test('nothing is asked about a complete run of which no picture was saved', async () => {
  await completeRun();
  expect(question()).not.toBeInTheDocument();
  expect(onbrand.asked).toEqual([]);
});

test('after the first saved picture the question is asked once for the run, not for each picture', async () => {
  const { id } = await askedRun();
  for (const n of [1, 3, 4]) press(`Download illustration ${n}`);
  await waitFor(() => expect(counts(/saved$/)).toBe(1));
  expect(onbrand.asked).toEqual([id]);
  expect(screen.getAllByText(TITLE)).toHaveLength(1);
  expect(within(screen.getByRole('article')).getByText(TITLE)).toBeInTheDocument();
});

test('nothing is asked if the server does not allow it', async () => {
  onbrand.mayAsk = false;
  await completeRun();
  press('Download illustration 1');
  await waitFor(() => expect(onbrand.asked).toHaveLength(1));
  press('Download illustration 2');
  await waitFor(() => expect(counts(/saved$/)).toBe(1));
  expect(question()).not.toBeInTheDocument();
  expect(onbrand.asked).toHaveLength(1);
});

test('nothing is asked if the server fails, and the picture is saved all the same', async () => {
  const saved = recordDownloads();
  onbrand.answerNext('POST', /question/, () => problem(500, 'internal_error', 'Something broke'));
  await completeRun();
  press('Download illustration 1');
  await waitFor(() => expect(counts(/question$/)).toBe(1));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect(question()).not.toBeInTheDocument();
});

test('after the third complete run the question is about that run, and about no other', async () => {
  await completeRun();
  await generateMore(1);
  expect(onbrand.asked).toEqual([]);
  await generateMore(2);
  await screen.findByText(TITLE);
  const [newest, ...others] = screen.getAllByRole('article');
  expect(within(newest ?? document.body).getByText(TITLE)).toBeInTheDocument();
  for (const card of others) {
    expect(within(card).queryByText(TITLE)).not.toBeInTheDocument();
    fireEvent.click(within(card).getByRole('button', { name: 'Download illustration 1' }));
  }
  await waitFor(() => expect(counts(/saved$/)).toBe(2));
  expect(screen.getAllByText(TITLE)).toHaveLength(1);
  expect(onbrand.asked).toEqual([onbrand.job(2).id]);
});

test('a question without an answer goes along with the work, and one with an answer stays', async () => {
  const { user } = await askedRun();
  await generateMore(1);
  const newest = () => within(screen.getAllByRole('article')[0] ?? document.body);
  await waitFor(() => expect(newest().getByText(TITLE)).toBeInTheDocument());
  expect(screen.getAllByText(TITLE)).toHaveLength(1);
  press('Useful');
  await user.type(await newest().findByLabelText('What worked? (optional)'), 'The light');
  await generateMore(2);
  expect(screen.getByLabelText('What worked? (optional)')).toHaveValue('The light');
  expect(newest().queryByText(TITLE)).not.toBeInTheDocument();
  expect(onbrand.verdicts).toEqual([{ jobId: onbrand.job(1).id, useful: true, comment: null }]);
});

test('if pictures of two runs are saved at the same time, the question is about one of them', async () => {
  await completeRun();
  await generateMore(1);
  for (const button of screen.getAllByRole('button', { name: 'Download illustration 1' })) fireEvent.click(button);
  await screen.findByText(TITLE);
  await waitFor(() => expect(counts(/saved$/)).toBe(2));
  expect(screen.getAllByText(TITLE)).toHaveLength(1);
  // The newest run was clicked first, so the server allowed the question about it.
  const [newest = document.body] = screen.getAllByRole('article');
  expect(within(newest).getByText(TITLE)).toBeInTheDocument();
  expect(onbrand.asked).toEqual([onbrand.job(1).id]);
});

test('a refresh keeps the question', async () => {
  const { unmount } = await askedRun();
  unmount();
  await renderApp();
  expect(await screen.findByText(TITLE)).toBeInTheDocument();
  expect(onbrand.asked).toHaveLength(1);
});

test('the answer is sent at once, and a comment may follow', async () => {
  const { id, user } = await askedRun();
  await user.click(screen.getByRole('button', { name: 'Useful' }));
  const comment = await screen.findByLabelText('What worked? (optional)');
  expect(onbrand.verdicts).toEqual([{ jobId: id, useful: true, comment: null }]);
  await user.type(comment, ' The light ');
  await user.click(screen.getByRole('button', { name: 'Send' }));
  await waitFor(() => expect(comment).not.toBeInTheDocument());
  expect(onbrand.verdicts.at(-1)).toEqual({ jobId: id, useful: true, comment: 'The light' });
  await expectAnnounced('Thank you');
});

test('"Not yet" asks what was missing; the comment has at most 200 characters, and Enter sends it', async () => {
  const { id, user } = await askedRun();
  await user.click(screen.getByRole('button', { name: 'Not yet' }));
  const comment = await screen.findByLabelText('What was missing? (optional)');
  expect(comment).toHaveAttribute('maxlength', '200');
  await user.type(comment, 'Hands{Enter}');
  await waitFor(() => expect(onbrand.verdicts.at(-1)).toEqual({ jobId: id, useful: false, comment: 'Hands' }));
});

test('closing the question is sent as an answer, and it is not asked again', async () => {
  const { id, unmount } = await askedRun();
  press('Close the question');
  expect(question()).not.toBeInTheDocument();
  await waitFor(() => expect(onbrand.verdicts).toEqual([{ jobId: id, useful: null, comment: null }]));
  unmount();
  await renderApp();
  await pictures(4);
  expect(question()).not.toBeInTheDocument();
});

test('closing the question after an answer keeps the answer', async () => {
  const { user } = await askedRun();
  await user.click(screen.getByRole('button', { name: 'Useful' }));
  await screen.findByLabelText('What worked? (optional)');
  press('Close the question');
  expect(screen.queryByText('Thank you', { selector: 'p' })).not.toBeInTheDocument();
  expect(onbrand.verdicts.map(({ useful }) => useful)).toEqual([true]);
});

test('closing the question while the answer is being sent keeps the answer', async () => {
  let release: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  await askedRun();
  onbrand.answerNext('PUT', /answer/, () => slow.then(() => new Response(null, { status: 204 })));
  press('Useful');
  await waitFor(() => expect(counts(/answer$/)).toBe(1));
  press('Close the question');
  release();
  await settle();
  expect(counts(/answer$/)).toBe(1);
});

test('if the answer cannot be sent, the page says so, and the person can answer again', async () => {
  const { id } = await askedRun();
  onbrand.answerNext('PUT', /answer/, () => problem(500, 'internal_error', 'Something broke'));
  press('Not yet');
  expect(await screen.findByText("It couldn't be sent. Try again.", { selector: 'section p' })).toBeInTheDocument();
  await expectAnnounced("It couldn't be sent");
  press('Not yet');
  await screen.findByLabelText('What was missing? (optional)');
  expect(screen.queryByText("It couldn't be sent. Try again.", { selector: 'section p' })).not.toBeInTheDocument();
  expect(onbrand.verdicts).toEqual([{ jobId: id, useful: false, comment: null }]);
});

test('after an answer and a refresh the question is not asked again', async () => {
  const { unmount } = await askedRun();
  press('Useful');
  await screen.findByLabelText('What worked? (optional)');
  await expectAnnounced('Thank you');
  expect(screen.getByLabelText('What worked? (optional)')).toHaveFocus();
  unmount();
  await renderApp();
  await pictures(4);
  expect(question()).not.toBeInTheDocument();
});
