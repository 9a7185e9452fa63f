/** The PNGs behind the tiles: loaded ahead, so that saving works at once, and what a browser saves by itself. */
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { beforeEach, expect, test, vi } from 'vitest';
import { settle } from '../test/clock';
import { recordDownloads, type Download } from '../test/downloads';
import { FakeOnbrand, pictureBytes, renditionBytes } from '../test/fake-onbrand';
import { liveUrls } from '../test/object-urls';
import { expectAnnounced, generateJob, waitUntilLoadedAhead } from '../test/render-app';

let onbrand: FakeOnbrand;
let saved: Download[];
beforeEach(() => {
  onbrand = new FakeOnbrand();
  saved = recordDownloads();
});

const draggable = () => screen.getAllByRole('img').filter((picture) => picture.draggable).length;

test('what the browser itself would drag, copy or save of a tile is the PNG', async () => {
  const { id } = await generateJob(onbrand);
  onbrand.complete(id);
  await waitFor(() => expect(screen.queryAllByRole('img')).toHaveLength(4));
  await waitUntilLoadedAhead(4);
  const picture = screen.getByRole('img', { name: /^Illustration 3/ });
  const bytes = () => liveUrls.get(picture.getAttribute('src') ?? '')?.text();
  expect(await bytes()).toBe(renditionBytes(onbrand.job(0), 3));
  fireEvent.pointerDown(picture);
  expect(await bytes()).toBe(pictureBytes(onbrand.job(0), 3));
});

test('a picture can be dragged once its PNG is here, which a browser that saves data loads on demand', async () => {
  vi.stubGlobal('navigator', Object.assign(Object.create(navigator), { connection: { saveData: true } }));
  const { id, user } = await generateJob(onbrand);
  onbrand.complete(id);
  await expectAnnounced('4 illustrations ready');
  await settle();
  expect(draggable()).toBe(0);
  await user.click(screen.getByRole('button', { name: 'Download illustration 2' }));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect(new TextDecoder().decode(await saved[0]?.bytes())).toBe(pictureBytes(onbrand.job(0), 2));
  await waitFor(() => expect(draggable()).toBe(1));
});
