/** Saving pictures: download, zip, copy and drag; and what the page says when one of them fails. */
import { onlineManager } from '@tanstack/react-query';
import { act, fireEvent, screen, waitFor } from '@testing-library/react';
import { HttpResponse } from 'msw';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { passTime, settle } from '../test/clock';
import { liveUrls } from '../test/object-urls';
import { FakeOnbrand, pictureBytes, problem } from '../test/fake-onbrand';
import { readZip } from '../test/read-zip';
import { expectAnnounced, generateButton, promptField, renderApp, waitUntilLoadedAhead } from '../test/render-app';
import { recordDownloads, type Download } from '../test/downloads';

const LOST = /The connection was lost. Nothing on the page is lost. Try again/;
const NO_SPACE = /There isn't enough space on this device/;

let onbrand: FakeOnbrand;
let saved: Download[];
beforeEach(() => {
  onbrand = new FakeOnbrand();
  saved = recordDownloads();
});
afterEach(() => onlineManager.setOnline(true));

const stored = (n: number) => pictureBytes(onbrand.job(0), n);
const nameOf = (n: number) => `onbrand_a-teapot_2026-01-28_0000_${n}.png`;
const text = async (file: Download | undefined) => new TextDecoder().decode(await file?.bytes());
const button = (name: string | RegExp) => screen.findByRole('button', { name });
const damaged = () => problem(500, 'image_corrupt', 'Damaged', 'It was damaged. Generate it again.');

/** Like a browser's DOMException, which is an Error. jsdom's DOMException isn't one. */
const browserError = (name: string) => Object.assign(new Error(), { name });

async function completeRun({ loaded = 4 } = {}) {
  const page = await renderApp();
  await page.user.type(await promptField(), 'a teapot');
  await page.user.click(generateButton());
  await waitFor(() => expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true));
  const { id } = onbrand.job(0);
  // Neither as a tile nor as a PNG that is loaded ahead.
  for (let n = loaded + 1; n <= 4; n += 1) onbrand.answerNext('GET', new RegExp(`images/${n}$`), damaged, 2);
  onbrand.complete(id);
  await waitFor(() => expect(screen.queryAllByRole('img')).toHaveLength(loaded));
  await waitFor(() => expect(screen.queryAllByText("This picture couldn't be loaded.")).toHaveLength(4 - loaded));
  await waitUntilLoadedAhead(loaded);
  if (loaded < 4) await waitFor(() => expect(onbrand.requests).toContain(`GET /jobs/${id}/images/4`));
  await settle();
  return { ...page, id };
}

async function zipEntries(file: Download | undefined) {
  if (file === undefined) throw new Error('Nothing was saved');
  return readZip(await file.bytes());
}

test('Download saves the stored bytes under the file name from the API', async () => {
  const { id, user } = await completeRun();
  for (const n of [1, 2, 3, 4]) await user.click(await button(`Download illustration ${n}`));
  await waitFor(() => expect(saved).toHaveLength(4));
  expect(saved.map(({ name }) => name)).toEqual([1, 2, 3, 4].map(nameOf));
  await expect(Promise.all(saved.map(text))).resolves.toEqual([1, 2, 3, 4].map(stored));
  // The page saves the bytes that it shows, without loading them again, and reports the saving to the server.
  expect(onbrand.requests.filter((request) => request === `GET /jobs/${id}/images/2`)).toHaveLength(1);
  expect(onbrand.requests).toContain(`PUT /jobs/${id}/saved`);
  expect(onbrand.requests.filter((request) => request.includes('download=1'))).toEqual([]);
});

test('a picture on the page is saved without a connection', async () => {
  const { user } = await completeRun();
  onbrand.answerNext('GET', /images/, () => HttpResponse.error(), 100);
  act(() => onlineManager.setOnline(false));
  await user.click(await button('Download illustration 3'));
  await waitFor(() => expect(saved.map(({ name }) => name)).toEqual([nameOf(3)]));
  expect(await text(saved[0])).toBe(stored(3));
});

test('a picture without a file name from the API gets a readable name that no other picture has', async () => {
  onbrand.answerNext('GET', /images/, () => new HttpResponse('PNG'), 8);
  const { user } = await completeRun();
  for (const n of [1, 2]) await user.click(await button(`Download illustration ${n}`));
  await waitFor(() => expect(saved).toHaveLength(2));
  expect(saved.map(({ name }) => name)).toEqual(['onbrand_00000000_1.png', 'onbrand_00000000_2.png']);
});

test('a failed download says why beside the pictures, and can be tried again', async () => {
  const { user } = await completeRun({ loaded: 3 });
  onbrand.answerNext('GET', /images\/4/, () => HttpResponse.error());
  await user.click(await button('Download illustration 4'));
  expect(await screen.findByText(LOST, { selector: 'p' })).toBeInTheDocument();
  await expectAnnounced(LOST);
  expect(screen.getAllByRole('img')).toHaveLength(3);
  await user.click(await button('Download illustration 4'));
  await waitFor(() => expect(saved.map(({ name }) => name)).toEqual([nameOf(4)]));
  expect(screen.queryByText(LOST, { selector: 'p' })).not.toBeInTheDocument();
});

test('the error of a download can be closed', async () => {
  const { user } = await completeRun({ loaded: 3 });
  onbrand.answerNext('GET', /images\/4/, damaged);
  await user.click(await button('Download illustration 4'));
  await user.click(await button('Close'));
  expect(screen.queryByText('It was damaged. Generate it again.', { selector: 'p' })).not.toBeInTheDocument();
});

test('Download all makes one zip of the stored bytes, each under its own name, dated as the run', async () => {
  const { user } = await completeRun();
  await user.click(await button('Download all'));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect(saved[0]).toMatchObject({ name: 'onbrand_a-teapot_2026-01-28_0000.zip', type: 'application/zip' });
  const entries = await zipEntries(saved[0]);
  expect(entries.map(({ name }) => name)).toEqual([1, 2, 3, 4].map(nameOf));
  expect(entries.map(({ bytes }) => new TextDecoder().decode(bytes))).toEqual([1, 2, 3, 4].map(stored));
  for (const { isStored, crc, bytes, modified } of entries) {
    expect(isStored).toBe(true);
    expect(crc).toBe(crc32(bytes));
    expect(modified).toEqual(new Date('2026-01-28T14:02:06Z'));
  }
});

test('the zip contains the selected pictures if some are selected', async () => {
  const { user } = await completeRun();
  const ticks = screen.getAllByRole('checkbox');
  await user.click(ticks[3] ?? document.body);
  await user.click(ticks[1] ?? document.body);
  await user.click(await button('Download 2'));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect((await zipEntries(saved[0])).map(({ name }) => name)).toEqual([nameOf(2), nameOf(4)]);
  expect(saved[0]?.name).toBe('onbrand_a-teapot_2026-01-28_0000_2_4.zip'); // not the name of the whole run's zip
});

test('pictures that are on the page are zipped without a connection', async () => {
  const { user } = await completeRun();
  act(() => onlineManager.setOnline(false));
  onbrand.answerNext('GET', /images/, () => HttpResponse.error(), 100);
  await user.click(await button('Download all'));
  await waitFor(async () => expect(await zipEntries(saved[0])).toHaveLength(4));
});

/** Sends picture `n` in two halves of `size` bytes. The second half follows when `finish` is called. */
function inHalves(n: number, size: number) {
  let finish: () => void = () => undefined;
  onbrand.answerNext('GET', new RegExp(`images/${n}$`), () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new Uint8Array(size));
        finish = () => {
          controller.enqueue(new Uint8Array(size));
          controller.close();
        };
      },
    });
    return new HttpResponse(body, { headers: { 'Content-Disposition': `attachment; filename="${nameOf(n)}"` } });
  });
  return { finish: () => finish() };
}

test('during saving, the button shows which picture is being loaded and how many bytes have arrived', async () => {
  const { user } = await completeRun({ loaded: 2 });
  const third = inHalves(3, 1_500_000);
  await user.click(await button('Download all'));
  const busy = await button('Saving 3 of 4 · 1.5 MB');
  expect(busy).toHaveAttribute('aria-disabled', 'true');
  await user.click(busy);
  third.finish();
  await waitFor(() => expect(saved).toHaveLength(1));
  expect((await zipEntries(saved[0]))[2]?.bytes).toHaveLength(3_000_000);
  expect(await button('Download all')).not.toHaveAttribute('aria-disabled');
  expect(saved).toHaveLength(1);
});

test('after the page is left, a zip in progress loads and saves nothing more', async () => {
  const { user, unmount } = await completeRun({ loaded: 2 });
  const third = inHalves(3, 10);
  await user.click(await button('Download all'));
  await button(/Saving 3 of 4/);
  const before = onbrand.requests.length;
  unmount();
  third.finish();
  await settle();
  expect(saved).toEqual([]);
  expect(onbrand.requests).toHaveLength(before);
});

async function expectZipFails(page: Awaited<ReturnType<typeof completeRun>>, sentence: string | RegExp) {
  await page.user.click(await button('Download all'));
  expect(await screen.findByText(sentence, { selector: 'p' })).toBeInTheDocument();
  await expectAnnounced(sentence);
  expect(saved).toEqual([]);
}

async function expectZipSucceeds(page: Awaited<ReturnType<typeof completeRun>>, sentence: string | RegExp) {
  await page.user.click(await button('Download all'));
  await waitFor(async () => expect(await zipEntries(saved[0])).toHaveLength(4));
  expect(screen.queryByText(sentence, { selector: 'p' })).not.toBeInTheDocument();
}

test('when the connection breaks during a zip, the page says so, and trying again works', async () => {
  const page = await completeRun({ loaded: 3 });
  onbrand.answerNext('GET', /images\/4$/, () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(100)),
      pull: (controller) => controller.error(new TypeError('terminated')),
    });
    return new HttpResponse(body);
  });
  await expectZipFails(page, LOST);
  expect(screen.getAllByRole('img')).toHaveLength(3);
  await expectZipSucceeds(page, LOST);
  expect(screen.getAllByRole('img')).toHaveLength(4); // the picture that was loaded for the zip is now shown, too
});

test('a damaged picture is named, and the others can be zipped without it', async () => {
  const page = await completeRun({ loaded: 3 });
  onbrand.answerNext('GET', /images\/4$/, damaged);
  await expectZipFails(page, 'Illustration 4: It was damaged. Generate it again. Select the others to download them.');
  for (const tick of screen.getAllByRole('checkbox').slice(0, 3)) await page.user.click(tick);
  await page.user.click(await button('Download 3'));
  await waitFor(async () => expect(await zipEntries(saved[0])).toHaveLength(3));
});

test('if the pictures are deleted, the run is shown as expired', async () => {
  const { user } = await completeRun({ loaded: 3 });
  const gone = () => problem(410, 'job_expired', 'Deleted after the retention time');
  onbrand.answerNext('GET', /jobs/, gone, 100);
  await user.click(await button('Download all'));
  expect(await screen.findByText(/Deleted after 30 days/)).toBeInTheDocument();
  expect(saved).toEqual([]);
});

test.each([
  ['disk', 'NotReadableError'],
  ['memory', 'RangeError'],
])('when the %s is full during a zip, the page says so, and trying again works', async (_place, name) => {
  const page = await completeRun();
  const full = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({ pull: (controller) => controller.error(browserError(name)) });
  const reading = vi.spyOn(File.prototype, 'stream').mockImplementation(full);
  await expectZipFails(page, NO_SPACE);
  expect(screen.getAllByRole('img')).toHaveLength(4);
  reading.mockRestore();
  await expectZipSucceeds(page, NO_SPACE);
});

test('a full device is not reported as a lost connection', async () => {
  const { user } = await completeRun({ loaded: 3 });
  const reading = vi.spyOn(ReadableStream.prototype, 'pipeTo').mockRejectedValue(browserError('QuotaExceededError'));
  await user.click(await button('Download illustration 4'));
  expect(await screen.findByText(NO_SPACE, { selector: 'p' })).toBeInTheDocument();
  reading.mockRestore();
});

type Offered = Record<string, Promise<Blob>>;

/** Replaces the clipboard with one that waits for the pictures, or that gives `answer`. */
function clipboard(answer?: () => Promise<void>) {
  const items: Offered[] = [];
  vi.stubGlobal('ClipboardItem', function Item(this: object, offered: Offered) {
    items.push(offered);
  });
  const take = async () => {
    await items.at(-1)?.['image/png'];
  };
  const write = vi.spyOn(navigator.clipboard, 'write').mockImplementation(answer ?? take);
  return { items, write };
}

test('Copy puts the stored PNG on the clipboard and says so for two seconds', async () => {
  const { user } = await completeRun();
  const { items } = clipboard();
  await user.click(await button('Copy illustration 2'));
  expect(await button('Copied illustration 2')).toHaveTextContent('Copied');
  await expectAnnounced('Copied');
  const copied = await items[0]?.['image/png'];
  expect(copied?.type).toBe('image/png');
  expect(await copied?.text()).toBe(stored(2));
  await passTime(2_000);
  expect(screen.getByRole('button', { name: 'Copy illustration 2' })).toBeInTheDocument();
});

test('the page writes to the clipboard within the click, before the bytes have arrived', async () => {
  await completeRun({ loaded: 3 });
  const fourth = inHalves(4, 10);
  const { write } = clipboard();
  fireEvent.click(await button('Copy illustration 4'));
  expect(write).toHaveBeenCalledTimes(1);
  await waitFor(() => expect(onbrand.requests.filter((request) => request.endsWith('images/4'))).toHaveLength(2));
  expect(screen.queryByRole('button', { name: 'Copied illustration 4' })).not.toBeInTheDocument();
  fourth.finish();
  expect(await button('Copied illustration 4')).toBeInTheDocument();
});

const REFUSED = /The browser didn't allow copying. Download the picture, or right-click it and copy it/;

test('when the browser refuses to copy, the page says what to do instead', async () => {
  const { user } = await completeRun();
  clipboard(() => Promise.reject(browserError('NotAllowedError')));
  await user.click(await button('Copy illustration 1'));
  expect(await screen.findByText(REFUSED, { selector: 'p' })).toBeInTheDocument();
  await expectAnnounced(REFUSED);
  expect(screen.getAllByRole('img')).toHaveLength(4);
});

test('when the browser cannot copy pictures, the page says what to do instead', async () => {
  const { user } = await completeRun();
  await user.click(await button('Copy illustration 1'));
  expect(await screen.findByText(REFUSED, { selector: 'p' })).toBeInTheDocument();
});

test('a picture that could not be loaded for copying is reported as a lost connection', async () => {
  const { user } = await completeRun({ loaded: 3 });
  onbrand.answerNext('GET', /images\/4$/, () => HttpResponse.error());
  clipboard();
  await user.click(await button('Copy illustration 4'));
  expect(await screen.findByText(LOST, { selector: 'p' })).toBeInTheDocument();
});

test('dragging a picture out gives the full PNG with its name, and no object URL of the page', async () => {
  await completeRun();
  const data = new Map([
    ['text/uri-list', 'blob:private'],
    ['text/html', '<img src="blob:private">'],
    ['Files', 'the picture, as the browser gives it'],
  ]);
  const dataTransfer = {
    clearData: (type: string) => data.delete(type),
    setData: (type: string, value: string) => data.set(type, value),
  };
  fireEvent.dragStart(screen.getByRole('img', { name: /^Illustration 3/ }), { dataTransfer });
  expect([...data.keys()]).toEqual(['Files', 'DownloadURL']);
  const [, type, name, address] = /^([^:]+):([^:]+):(.+)$/.exec(data.get('DownloadURL') ?? '') ?? [];
  expect({ type, name }).toEqual({ type: 'image/png', name: nameOf(3) });
  expect(await liveUrls.get(address ?? '')?.text()).toBe(stored(3));
});
