/** What the page says and does about a run while the server does not answer. */
import { screen, waitFor, within } from '@testing-library/react';
import { HttpResponse } from 'msw';
import { beforeEach, expect, test } from 'vitest';
import { passTime, settle } from '../test/clock';
import { FakeOnbrand, problem } from '../test/fake-onbrand';
import { expectAnnounced, generateJob, pressGenerate, promptField, renderApp } from '../test/render-app';

const PROMPT = 'a teapot';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

test('a run that is not sent yet can be taken back, and then nothing is sent', async () => {
  onbrand.answerNext('POST', /generate/, () => problem(503, 'database_unavailable', 'Away'), 1);
  const { user } = await pressGenerate('first');
  await screen.findByText(/Trying again/);
  await user.clear(await promptField());
  await user.type(await promptField(), 'second{Enter}');
  const [second = document.body] = screen.getAllByRole('article');
  expect(within(second).getByText('Not sent yet')).toBeInTheDocument();
  await user.click(within(second).getByRole('button', { name: 'Cancel' }));
  expect(within(second).getByText('Cancelled')).toBeInTheDocument();
  await passTime(2_000);
  await waitFor(() => expect(onbrand.submissions).toHaveLength(1));
  await settle();
  expect(onbrand.submissions.map(({ prompt }) => prompt)).toEqual(['first']);
  await expectAnnounced('Queued');
});

test('a run that was taken back while it was being sent is cancelled if the server has it', async () => {
  onbrand.answerNext('POST', /generate/, () => HttpResponse.error(), 1);
  const { user, unmount } = await pressGenerate(PROMPT);
  await screen.findByText(/Trying again/);
  await user.click(screen.getByRole('button', { name: 'Cancel' }));
  expect(within(screen.getByRole('article')).getByText('Cancelled')).toBeInTheDocument();
  await waitFor(() => expect(onbrand.cancelled).toHaveLength(1));
  expect(onbrand.jobs.size).toBe(1);
  unmount();
  await renderApp();
  expect(within(await screen.findByRole('article')).getByText('Cancelled')).toBeInTheDocument();
  expect(onbrand.submissions).toHaveLength(1);
});

test('while the server does not answer, no seconds are shown', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 6, 48);
  expect(await screen.findByText(/^step 6 of 12 · about 6 s$/)).toBeInTheDocument();
  onbrand.answerNext('GET', /./, () => HttpResponse.error(), 1_000);
  onbrand.dropStreams(id);
  await passTime(2_000);
  const said = await screen.findByText(/^step 6 of 12 · as of \d\d:\d\d$/);
  await passTime(60_000);
  expect(said).toHaveTextContent(/^step 6 of 12 · as of \d\d:\d\d$/);
  expect(screen.getByRole('complementary')).toHaveTextContent("Onbrand can't be reached");
});
