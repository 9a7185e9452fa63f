/** What the page says during a run: cold start, "longer than usual", the tab's title, and the live region. */
import { screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import type { Job } from '../api/get-job';
import { FakeOnbrand } from '../test/fake-onbrand';
import { generateJob } from '../test/render-app';
import { strings } from '../ui/strings';

const SAVED = /your prompt is saved/i;

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

type Phase = Job['progress']['phase'];
const wait = (id: string, phase: Phase) =>
  onbrand.update(id, { status: 'queued', progress: { phase, queue_position: null, eta_seconds: 90 } });

function marks() {
  const list = screen.getByText(strings.coldStart.starting_gpu).closest('ol') ?? document.body;
  return within(list)
    .getAllByRole('listitem')
    .map((item) => ({
      text: item.textContent,
      isCurrent: item.getAttribute('aria-current') === 'step',
      isDone: item.dataset['done'] === 'true',
    }));
}

test('a cold start shows the current stage, the finished stages, and that the prompt is saved', async () => {
  const { id } = await generateJob(onbrand);
  expect(screen.queryByText(SAVED)).not.toBeInTheDocument();
  wait(id, 'starting_gpu');
  expect(await screen.findByText('about 1 min 30 s · your prompt is saved')).toBeInTheDocument();
  expect(marks()).toEqual([
    { text: strings.coldStart.starting_gpu, isCurrent: true, isDone: false },
    { text: strings.coldStart.loading_model, isCurrent: false, isDone: false },
    { text: strings.coldStart.drawing, isCurrent: false, isDone: false },
  ]);
  wait(id, 'loading_model');
  await waitFor(() => expect(marks().map(({ isCurrent }) => isCurrent)).toEqual([false, true, false]));
  expect(marks().map(({ isDone }) => isDone)).toEqual([true, false, false]);
  onbrand.draw(id, 1, 8);
  await waitFor(() => expect(screen.queryByText(SAVED)).not.toBeInTheDocument());
});

test('no cold start is shown if a worker reloads the model for a job it has begun', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.update(id, { status: 'processing', progress: { phase: 'loading_model', queue_position: null } });
  expect(await screen.findByText('Loading the model')).toBeInTheDocument();
  expect(screen.queryByText(strings.coldStart.starting_gpu)).not.toBeInTheDocument();
});

test('if the server reports that a job is late, the page says "longer than usual"', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 3, 26);
  expect(await screen.findByText(/^step 3 of 12 · about/)).toBeInTheDocument();
  onbrand.update(id, { progress: { is_late: true } });
  expect(await screen.findByText(/^step 3 of 12 · longer than usual, \d+ s so far$/)).toBeInTheDocument();
});

test('the title of the tab shows waiting, percent and failure', async () => {
  const { id } = await generateJob(onbrand);
  expect(document.title).toBe('(…) Onbrand');
  onbrand.draw(id, 4, 33);
  await waitFor(() => expect(document.title).toBe('(33 %) Onbrand'));
  onbrand.fail(id, { code: 'gpu_memory', title: 'Not enough GPU memory', detail: 'Try again in a moment.' });
  await waitFor(() => expect(document.title).toBe('Failed · Onbrand'));
});

test('during a whole run the live region says each thing once, and nothing else', async () => {
  const { id } = await generateJob(onbrand);
  const region = screen.getByRole('status');
  const said: string[] = [];
  const note = () => said.push(region.textContent.trim());
  note();
  const watching = new MutationObserver(note);
  watching.observe(region, { childList: true, characterData: true, subtree: true });

  await waitFor(() => expect(region).toHaveTextContent('Queued'));
  wait(id, 'starting_gpu');
  await screen.findByText(SAVED);
  for (const [step, percent] of [[1, 8], [3, 25], [4, 33], [5, 41], [6, 50], [8, 66], [9, 75], [11, 92]] as const) {
    onbrand.draw(id, step, percent);
    await screen.findByText(new RegExp(`^step ${step} of`));
  }
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  await waitFor(() => expect(region).toHaveTextContent('4 illustrations ready'));
  watching.disconnect();
  expect(said.filter((text) => text !== '')).toEqual([
    'Queued. 2nd in line',
    'Drawing started',
    '25 % done',
    '50 % done',
    '75 % done',
    '4 illustrations ready',
  ]);
});

test('the page has one live region', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  expect(document.querySelectorAll('[role="status"], [role="alert"], [role="log"], [aria-live]')).toHaveLength(1);
});
