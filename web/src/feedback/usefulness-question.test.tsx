/** "Was this useful?": asked rarely, about one run, and easy to answer or to be rid of. */
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { follow, pressable, renderApp } from '../test/render-app';
import { watchSaving } from '../test/downloads';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
  onbrand.mayAsk = true;
  watchSaving();
});

const TITLE = 'Was this useful?';
const question = () => screen.queryByRole('region', { name: TITLE });
/** Presses the button of that name on the newest run. */
function press(name: string): void {
  const [newest = document.body] = screen.getAllByRole('article');
  fireEvent.click(within(newest).getByRole('button', { name }));
}
const pictures = (count: number) =>
  waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(count), { timeout: 6_000 });
const counts = (call: RegExp) => onbrand.requests.filter((request) => call.test(request)).length;

async function completeRun() {
  const page = await follow(onbrand);
  onbrand.complete(page.id);
  await pictures(4);
  return page;
}

async function generateMore(runsBefore: number) {
  await pressable('Generate');
  press('Generate More');
  await waitFor(() => expect(onbrand.jobs.size).toBe(runsBefore + 1));
  onbrand.complete(onbrand.job(runsBefore).id);
  await pictures((runsBefore + 1) * 4);
}

/** A run of which a picture was kept, so that its question is on the page. */
async function askedRun() {
  const page = await completeRun();
  press('Download illustration 2');
  await screen.findByText(TITLE);
  return page;
}

test('a complete run alone asks nothing', async () => {
  await completeRun();
  expect(question()).not.toBeInTheDocument();
  expect(onbrand.asked).toEqual([]);
});

test('after the first kept picture it is asked once, about the run and not about each picture', async () => {
  const { id } = await askedRun();
  for (const n of [1, 3, 4]) press(`Download illustration ${n}`);
  await waitFor(() => expect(counts(/saved$/)).toBe(1));
  expect(onbrand.asked).toEqual([id]);
  expect(screen.getAllByText(TITLE)).toHaveLength(1);
  expect(within(screen.getByRole('article')).getByText(TITLE)).toBeInTheDocument();
});

test('it is not asked when the server does not grant it', async () => {
  onbrand.mayAsk = false;
  await completeRun();
  press('Download illustration 1');
  await waitFor(() => expect(onbrand.asked).toHaveLength(1));
  press('Download illustration 2');
  await waitFor(() => expect(counts(/saved$/)).toBe(1));
  expect(question()).not.toBeInTheDocument();
  expect(onbrand.asked).toHaveLength(1);
});

test('a server that cannot say asks nothing, and the picture is kept all the same', async () => {
  const saved = watchSaving();
  onbrand.once('POST', /question/, () => problem(500, 'internal_error', 'Something broke'));
  await completeRun();
  press('Download illustration 1');
  await waitFor(() => expect(counts(/question$/)).toBe(1));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect(question()).not.toBeInTheDocument();
});

test('after the third run it is asked about that one, and no second run holds it', async () => {
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

test('two runs kept at the same time do not both hold it', async () => {
  await completeRun();
  await generateMore(1);
  for (const button of screen.getAllByRole('button', { name: 'Download illustration 1' })) fireEvent.click(button);
  await screen.findByText(TITLE);
  await waitFor(() => expect(counts(/saved$/)).toBe(2));
  expect(screen.getAllByText(TITLE)).toHaveLength(1);
  const [newest = document.body] = screen.getAllByRole('article'); // pressed first, so that is what was granted
  expect(within(newest).getByText(TITLE)).toBeInTheDocument();
  expect(onbrand.asked).toEqual([onbrand.job(1).id]);
});

test('a refresh keeps the question where it was', async () => {
  const { unmount } = await askedRun();
  unmount();
  await renderApp();
  expect(await screen.findByText(TITLE)).toBeInTheDocument();
  expect(onbrand.asked).toHaveLength(1);
});

test('the answer is sent at once, and a line of words after it if one likes', async () => {
  const { id, user } = await askedRun();
  await user.click(screen.getByRole('button', { name: 'Useful' }));
  const comment = await screen.findByLabelText('What worked? (optional)');
  expect(onbrand.verdicts).toEqual([{ jobId: id, useful: true, comment: null }]);
  await user.type(comment, ' The light ');
  await user.click(screen.getByRole('button', { name: 'Send' }));
  await waitFor(() => expect(comment).not.toBeInTheDocument());
  expect(onbrand.verdicts.at(-1)).toEqual({ jobId: id, useful: true, comment: 'The light' });
  expect(screen.getByRole('status')).toHaveTextContent('Thank you');
});

test('"Not yet" asks what was missing, and Enter sends it; no more than 200 characters fit', async () => {
  const { id, user } = await askedRun();
  await user.click(screen.getByRole('button', { name: 'Not yet' }));
  const comment = await screen.findByLabelText('What was missing? (optional)');
  expect(comment).toHaveAttribute('maxlength', '200');
  await user.type(comment, 'Hands{Enter}');
  await waitFor(() => expect(onbrand.verdicts.at(-1)).toEqual({ jobId: id, useful: false, comment: 'Hands' }));
});

test('closing it is an answer too, and it does not come back', async () => {
  const { id, unmount } = await askedRun();
  press('Close the question');
  expect(question()).not.toBeInTheDocument();
  await waitFor(() => expect(onbrand.verdicts).toEqual([{ jobId: id, useful: null, comment: null }]));
  unmount();
  await renderApp();
  await pictures(4);
  expect(question()).not.toBeInTheDocument();
});

test('closing it after an answer does not take the answer back', async () => {
  const { user } = await askedRun();
  await user.click(screen.getByRole('button', { name: 'Useful' }));
  await screen.findByLabelText('What worked? (optional)');
  press('Close the question');
  expect(screen.queryByText('Thank you', { selector: 'p' })).not.toBeInTheDocument();
  expect(onbrand.verdicts.map(({ useful }) => useful)).toEqual([true]);
});

test('closing it while the answer is on its way does not take the answer back', async () => {
  let release: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  await askedRun();
  onbrand.once('PUT', /answer/, () => slow.then(() => new Response(null, { status: 204 })));
  press('Useful');
  await waitFor(() => expect(counts(/answer$/)).toBe(1));
  press('Close the question');
  release();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(counts(/answer$/)).toBe(1);
});

test('an answer that could not be sent says so and can be given again', async () => {
  const { id } = await askedRun();
  onbrand.once('PUT', /answer/, () => problem(500, 'internal_error', 'Something broke'));
  press('Not yet');
  expect(await screen.findByText("It couldn't be sent. Try again.", { selector: 'section p' })).toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent("It couldn't be sent");
  press('Not yet');
  await screen.findByLabelText('What was missing? (optional)');
  expect(screen.queryByText("It couldn't be sent. Try again.", { selector: 'section p' })).not.toBeInTheDocument();
  expect(onbrand.verdicts).toEqual([{ jobId: id, useful: false, comment: null }]);
});

test('what was answered is not asked again after a refresh, so that closing it takes nothing back', async () => {
  const { unmount } = await askedRun();
  press('Useful');
  await screen.findByLabelText('What worked? (optional)');
  expect(screen.getByRole('status')).toHaveTextContent('Thank you');
  expect(screen.getByLabelText('What worked? (optional)')).toHaveFocus();
  unmount();
  await renderApp();
  await pictures(4);
  expect(question()).not.toBeInTheDocument();
});
