/** Previews: each tile shows a blurred preview of its own picture until the picture has loaded. */
import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { liveUrls } from '../test/object-urls';
import { FakeOnbrand, pictureBytes, previewsOf, problem } from '../test/fake-onbrand';
import { generateJob, generateButton, waitUntilAvailable, promptField } from '../test/render-app';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const previews = () => screen.queryAllByTestId('preview');
const layersOf = (preview: HTMLElement | undefined) => [...(preview?.querySelectorAll('img') ?? [])];

function contents(images: Element[]): Promise<(string | undefined)[]> {
  const blobs = images.map((image) => liveUrls.get(image.getAttribute('src') ?? ''));
  return Promise.all(blobs.map(async (blob) => blob?.text()));
}

function draw(id: string, step: number): void {
  onbrand.draw(id, step, step * 8);
  onbrand.update(id, { progress: { previews: previewsOf(id, step) } });
}

async function drawn(step = 3) {
  const page = await generateJob(onbrand);
  draw(page.id, step);
  await waitFor(() => expect(previews()).toHaveLength(4));
  return page;
}

test('each tile shows its own preview, and screen readers ignore previews', async () => {
  const { id } = await drawn();
  const shown = previews().flatMap((preview) => layersOf(preview).slice(-1));
  expect(await contents(shown)).toEqual([1, 2, 3, 4].map((n) => `preview of ${id} ${n} at 3`));
  expect(screen.queryByRole('img')).not.toBeInTheDocument();
});

test('a new preview covers the previous one, and older ones are removed', async () => {
  const { id } = await drawn(1);
  for (const step of [2, 3, 4]) {
    draw(id, step);
    const layers = [`preview of ${id} 2 at ${step - 1}`, `preview of ${id} 2 at ${step}`];
    await waitFor(async () => expect(await contents(layersOf(previews()[1]))).toEqual(layers));
  }
  expect(liveUrls.size).toBe(8);
});

test('previews are blurred at first and sharp at the end', async () => {
  const softness = () => Number.parseFloat(previews()[0]?.style.getPropertyValue('--softness') ?? '');
  const { id } = await drawn(1);
  const first = softness();
  draw(id, 9);
  await waitFor(() => expect(softness()).toBeLessThan(first));
  onbrand.complete(id);
  await waitFor(() => expect(softness()).toBe(0));
});

test('progress without previews keeps the latest previews', async () => {
  const { id } = await drawn();
  onbrand.update(id, { progress: { percent: 60, previews: [] } });
  await waitFor(() => expect(screen.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '60'));
  expect(previews()).toHaveLength(4);
});

test('previews stay until the picture has loaded', async () => {
  let release: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { id } = await drawn();
  onbrand.answerNext('GET', /images\/1$/, async () => {
    await slow;
    return new Response(pictureBytes(onbrand.job(0), 1));
  });
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(3));
  expect(previews()).toHaveLength(4);
  release();
  const first = await screen.findByRole('img', { name: /^Illustration 1/ });
  expect(first.className).not.toMatch(/shown/);
  expect(previews()).toHaveLength(4);
  fireEvent.load(first);
  expect(first.className).toMatch(/shown/);
});

test('the preview stays if the picture cannot be loaded', async () => {
  const { id } = await drawn();
  onbrand.answerNext('GET', /images\/2$/, () => problem(500, 'image_corrupt', 'Damaged'));
  onbrand.complete(id);
  const sentence = await screen.findByText("This picture couldn't be loaded.");
  const tile = sentence.closest('figure') ?? document.body;
  expect(within(tile).getByTestId('preview')).toBeInTheDocument();
});

test('a job that is queued again starts without previews', async () => {
  const { id } = await drawn();
  onbrand.update(id, { status: 'queued', progress: { phase: 'waiting', percent: 0, queue_position: 1, previews: [] } });
  await waitFor(() => expect(previews()).toHaveLength(0));
  onbrand.draw(id, 1, 8);
  expect(await screen.findByText(/step 1 of 12/)).toBeInTheDocument();
  expect(previews()).toHaveLength(0);
});

test('no run shows the previews of another run', async () => {
  const { id, user } = await drawn();
  await user.clear(await promptField());
  await user.type(await promptField(), 'an umbrella');
  await waitUntilAvailable('Generate');
  await user.click(generateButton());
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  const second = onbrand.job(1).id;
  draw(second, 5);
  await waitFor(() => expect(previews()).toHaveLength(8));
  const [newest, oldest] = screen.getAllByRole('article').map((card) => [...card.querySelectorAll('img')]);
  expect(await contents(newest ?? [])).toEqual([1, 2, 3, 4].map((n) => `preview of ${second} ${n} at 5`));
  expect(await contents(oldest ?? [])).toEqual([1, 2, 3, 4].map((n) => `preview of ${id} ${n} at 3`));
});

test('a preview that is no image or no base64 does not break the page', async () => {
  const { id } = await drawn();
  previews().forEach((preview) => layersOf(preview).forEach((layer) => fireEvent.error(layer)));
  onbrand.update(id, { progress: { percent: 50, previews: ['%', '', 'not base64!', 'ä'] } });
  await waitFor(() => expect(screen.getByRole('progressbar')).toHaveAttribute('aria-valuenow', '50'));
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
});

test('the object URLs of previews are revoked with the page', async () => {
  const { unmount } = await drawn();
  expect(liveUrls.size).toBe(4);
  unmount();
  expect(liveUrls.size).toBe(0);
});
