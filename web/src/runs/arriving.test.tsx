/** Finished pictures on their way to the page: what is shown meanwhile, and when the page says "Ready". */
import { act, screen, waitFor } from '@testing-library/react';
import { beforeEach, expect, test } from 'vitest';
import { settle } from '../test/clock';
import { FakeOnbrand, pictureBytes, problem, renditionBytes } from '../test/fake-onbrand';
import { liveUrls } from '../test/object-urls';
import { expectAnnounced, generateJob, renderApp } from '../test/render-app';

let onbrand: FakeOnbrand;
beforeEach(() => {
  onbrand = new FakeOnbrand();
});

const shownBytes = () => {
  const addresses = screen.getAllByRole('img').map((picture) => picture.getAttribute('src') ?? '');
  return Promise.all(addresses.map(async (address) => liveUrls.get(address)?.text()));
};

/** Sends tile `n` in two halves of 50 kB. The second half follows when the returned function is called. */
function inHalves(n: number): () => void {
  let finish: () => void = () => undefined;
  onbrand.answerNext('GET', new RegExp(`images/${n}$`), () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new Uint8Array(50_000));
        finish = () => {
          controller.enqueue(new Uint8Array(50_000));
          controller.close();
        };
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'image/webp', 'Content-Length': '100000' } });
  });
  return () => act(() => finish());
}

test('tiles show renditions, and only then the PNGs are loaded, one after the other', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.complete(id);
  await expectAnnounced('4 illustrations ready');
  expect(await shownBytes()).toEqual([1, 2, 3, 4].map((n) => renditionBytes(onbrand.job(0), n)));
  await waitFor(() => expect(onbrand.requests).toContain(`GET /jobs/${id}/images/4`));
  const asked = onbrand.requests.filter((request) => request.includes('/images/'));
  expect(asked.map((request) => request.slice(request.indexOf('images/')))).toEqual([
    ...[1, 2, 3, 4].map((n) => `images/${n}?size=512`),
    ...[1, 2, 3, 4].map((n) => `images/${n}`),
  ]);
});

test('a job of an older version is shown from its PNGs, which are loaded once', async () => {
  onbrand.hasRenditions = false;
  const { id } = await generateJob(onbrand);
  onbrand.complete(id);
  await expectAnnounced('4 illustrations ready');
  expect(await shownBytes()).toEqual([1, 2, 3, 4].map((n) => pictureBytes(onbrand.job(0), n)));
  await settle();
  expect(onbrand.requests.filter((request) => request.includes('/images/'))).toHaveLength(4);
});

test('pictures appear as they arrive, bytes are counted, and "Ready" comes with the last', async () => {
  const finish = [3, 4].map(inHalves);
  const { id } = await generateJob(onbrand);
  onbrand.complete(id);
  const small = renditionBytes(onbrand.job(0), 1).length * 2;
  expect(small).toBeLessThan(500);
  expect(await screen.findByText('2 of 4 pictures · 100 of 200 kB')).toBeInTheDocument();
  expect(screen.getAllByRole('img')).toHaveLength(2);
  expect(document.title).toBe('(…) Onbrand');
  expect(screen.queryByText(/took/)).not.toBeInTheDocument();
  expect(screen.getByRole('status')).not.toHaveTextContent('ready');
  expect(screen.getByRole('article')).toHaveAttribute('aria-busy', 'true');
  finish[0]?.();
  expect(await screen.findByText('3 of 4 pictures · 150 of 200 kB')).toBeInTheDocument();
  expect(document.title).toBe('(…) Onbrand');
  finish[1]?.();
  await expectAnnounced('4 illustrations ready');
  expect(document.title).toBe('Ready · Onbrand');
  expect(screen.getByText(/took 6 s/)).toBeInTheDocument();
  expect(screen.getByRole('article')).toHaveAttribute('aria-busy', 'false');
});

test('a picture that cannot be loaded does not keep the others from being ready', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.answerNext('GET', /images\/2$/, () => problem(500, 'image_corrupt', 'Damaged'), 2);
  onbrand.complete(id);
  expect(await screen.findByText("This picture couldn't be loaded.")).toBeInTheDocument();
  await expectAnnounced('4 illustrations ready');
  expect(document.title).toBe('Ready · Onbrand');
});

test('after a refresh, a run that was ready is shown again without being announced', async () => {
  const { id, unmount } = await generateJob(onbrand);
  onbrand.complete(id);
  await expectAnnounced('4 illustrations ready');
  unmount();
  await renderApp();
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(screen.getByRole('status')).not.toHaveTextContent('ready');
});
