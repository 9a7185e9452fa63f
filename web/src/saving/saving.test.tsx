/** Keeping pictures: saved, zipped, copied, dragged out; and what is said when that doesn't work. */
import { onlineManager } from '@tanstack/react-query';
import { act, fireEvent, screen, waitFor } from '@testing-library/react';
import { HttpResponse } from 'msw';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { liveAddresses } from '../test/object-urls';
import { FakeOnbrand, pictureBytes, problem } from '../test/fake-onbrand';
import { readZip } from '../test/read-zip';
import { generateButton, promptField, renderApp } from '../test/render-app';
import { watchSaving, type Saved } from '../test/downloads';

const LOST = /The connection was lost. Nothing on the page is lost; try again/;
const NO_SPACE = /There isn't enough space on this device/;

let onbrand: FakeOnbrand;
let saved: Saved[];
beforeEach(() => {
  onbrand = new FakeOnbrand();
  saved = watchSaving();
});
afterEach(() => onlineManager.setOnline(true));

const stored = (n: number) => pictureBytes(onbrand.job(0), n);
const nameOf = (n: number) => `onbrand_a-teapot_2026-01-28_0000_${n}.png`;
const text = async (file: Saved | undefined) => new TextDecoder().decode(await file?.bytes());
const button = (name: string | RegExp) => screen.findByRole('button', { name });
const damaged = () => problem(500, 'image_corrupt', 'Damaged', 'It was damaged. Generate it again.');

/** A DOMException of browsers, where it is an Error; jsdom's is none. */
const browserError = (name: string) => Object.assign(new Error(), { name });

async function completeRun({ loaded = 4 } = {}) {
  const page = await renderApp();
  await page.user.type(await promptField(), 'a teapot');
  await page.user.click(generateButton());
  await waitFor(() => expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true));
  const { id } = onbrand.job(0);
  for (let n = loaded + 1; n <= 4; n += 1) onbrand.once('GET', new RegExp(`images/${n}$`), damaged);
  onbrand.complete(id);
  await waitFor(() => expect(screen.queryAllByRole('img')).toHaveLength(loaded));
  await waitFor(() => expect(screen.queryAllByText("This picture couldn't be loaded.")).toHaveLength(4 - loaded));
  return { ...page, id };
}

async function zipEntries(file: Saved | undefined) {
  if (file === undefined) throw new Error('Nothing was saved');
  return readZip(await file.bytes());
}

test('Download saves the stored bytes under the name the API gives', async () => {
  const { id, user } = await completeRun();
  for (const n of [1, 2, 3, 4]) await user.click(await button(`Download illustration ${n}`));
  await waitFor(() => expect(saved).toHaveLength(4));
  expect(saved.map(({ name }) => name)).toEqual([1, 2, 3, 4].map(nameOf));
  await expect(Promise.all(saved.map(text))).resolves.toEqual([1, 2, 3, 4].map(stored));
  // The bytes that are shown are the ones that are saved, and only the saving is counted.
  expect(onbrand.requests.filter((request) => request === `GET /jobs/${id}/images/2`)).toHaveLength(1);
  expect(onbrand.requests).toContain(`PUT /jobs/${id}/saved`);
  expect(onbrand.requests.filter((request) => request.includes('download=1'))).toEqual([]);
});

test('a picture on the page is saved without a connection', async () => {
  const { user } = await completeRun();
  onbrand.once('GET', /images/, () => HttpResponse.error(), 100);
  act(() => onlineManager.setOnline(false));
  await user.click(await button('Download illustration 3'));
  await waitFor(() => expect(saved.map(({ name }) => name)).toEqual([nameOf(3)]));
  expect(await text(saved[0])).toBe(stored(3));
});

test('a name that was lost on the way is replaced by a readable one that no other picture has', async () => {
  onbrand.once('GET', /images/, () => new HttpResponse('PNG'), 4);
  const { user } = await completeRun();
  for (const n of [1, 2]) await user.click(await button(`Download illustration ${n}`));
  await waitFor(() => expect(saved).toHaveLength(2));
  expect(saved.map(({ name }) => name)).toEqual(['onbrand_00000000_1.png', 'onbrand_00000000_2.png']);
});

test('a download that fails says why, stays beside the pictures, and can be tried again', async () => {
  const { user } = await completeRun({ loaded: 3 });
  onbrand.once('GET', /images\/4/, () => HttpResponse.error());
  await user.click(await button('Download illustration 4'));
  expect(await screen.findByText(LOST, { selector: 'p' })).toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent(LOST);
  expect(screen.getAllByRole('img')).toHaveLength(3);
  await user.click(await button('Download illustration 4'));
  await waitFor(() => expect(saved.map(({ name }) => name)).toEqual([nameOf(4)]));
  expect(screen.queryByText(LOST, { selector: 'p' })).not.toBeInTheDocument();
});

test('what is said about a download can be put away', async () => {
  const { user } = await completeRun({ loaded: 3 });
  onbrand.once('GET', /images\/4/, damaged);
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

test('with some pictures ticked the zip has those', async () => {
  const { user } = await completeRun();
  const ticks = screen.getAllByRole('checkbox');
  await user.click(ticks[3] ?? document.body);
  await user.click(ticks[1] ?? document.body);
  await user.click(await button('Download 2'));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect((await zipEntries(saved[0])).map(({ name }) => name)).toEqual([nameOf(2), nameOf(4)]);
});

test('pictures that are on the page are zipped without a connection', async () => {
  const { user } = await completeRun();
  act(() => onlineManager.setOnline(false));
  onbrand.once('GET', /images/, () => HttpResponse.error(), 100);
  await user.click(await button('Download all'));
  await waitFor(async () => expect(await zipEntries(saved[0])).toHaveLength(4));
});

/** Lets picture `n` come in two halves, the second when told. */
function inHalves(n: number, size: number) {
  let finish: () => void = () => undefined;
  onbrand.once('GET', new RegExp(`images/${n}$`), () => {
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

test('while it saves, the button says which picture it is at and how much has come', async () => {
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

test('a page that is left while it saves neither goes on fetching nor saves', async () => {
  const { user, unmount } = await completeRun({ loaded: 2 });
  const third = inHalves(3, 10);
  await user.click(await button('Download all'));
  await button(/Saving 3 of 4/);
  const before = onbrand.requests.length;
  unmount();
  third.finish();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(saved).toEqual([]);
  expect(onbrand.requests).toHaveLength(before);
});

async function zipThatFails(page: Awaited<ReturnType<typeof completeRun>>, sentence: string | RegExp) {
  await page.user.click(await button('Download all'));
  expect(await screen.findByText(sentence, { selector: 'p' })).toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent(sentence);
  expect(saved).toEqual([]);
}

async function zipThatWorks(page: Awaited<ReturnType<typeof completeRun>>, sentence: string | RegExp) {
  await page.user.click(await button('Download all'));
  await waitFor(async () => expect(await zipEntries(saved[0])).toHaveLength(4));
  expect(screen.queryByText(sentence, { selector: 'p' })).not.toBeInTheDocument();
}

test('a connection lost in the middle of a zip says so, and trying again works', async () => {
  const page = await completeRun({ loaded: 3 });
  onbrand.once('GET', /images\/4$/, () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(100)),
      pull: (controller) => controller.error(new TypeError('terminated')),
    });
    return new HttpResponse(body);
  });
  await zipThatFails(page, LOST);
  expect(screen.getAllByRole('img')).toHaveLength(3);
  await zipThatWorks(page, LOST);
  expect(screen.getAllByRole('img')).toHaveLength(4); // what came for the zip is shown, too
});

test('a damaged picture is named, and the others can be zipped without it', async () => {
  const page = await completeRun({ loaded: 3 });
  onbrand.once('GET', /images\/4$/, damaged);
  await zipThatFails(page, 'Illustration 4: It was damaged. Generate it again. Tick the others to download those.');
  for (const tick of screen.getAllByRole('checkbox').slice(0, 3)) await page.user.click(tick);
  await page.user.click(await button('Download 3'));
  await waitFor(async () => expect(await zipEntries(saved[0])).toHaveLength(3));
});

test('pictures that are gone end the run as expired', async () => {
  const { user } = await completeRun({ loaded: 3 });
  const gone = () => problem(410, 'job_expired', 'Deleted after the retention time');
  onbrand.once('GET', /jobs/, gone, 100);
  await user.click(await button('Download all'));
  expect(await screen.findByText(/Deleted after 30 days/)).toBeInTheDocument();
  expect(saved).toEqual([]);
});

test.each([
  ['disk', 'NotReadableError'],
  ['memory', 'RangeError'],
])('a full %s while zipping says so, and trying again works', async (_place, name) => {
  const page = await completeRun();
  const full = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({ pull: (controller) => controller.error(browserError(name)) });
  const reading = vi.spyOn(File.prototype, 'stream').mockImplementation(full);
  await zipThatFails(page, NO_SPACE);
  expect(screen.getAllByRole('img')).toHaveLength(4);
  reading.mockRestore();
  await zipThatWorks(page, NO_SPACE);
});

test('no room for a picture is not taken for a lost connection', async () => {
  const { user } = await completeRun({ loaded: 3 });
  const reading = vi.spyOn(ReadableStream.prototype, 'pipeTo').mockRejectedValue(browserError('QuotaExceededError'));
  await user.click(await button('Download illustration 4'));
  expect(await screen.findByText(NO_SPACE, { selector: 'p' })).toBeInTheDocument();
  reading.mockRestore();
});

type Offered = Record<string, Promise<Blob>>;

/** A clipboard that waits for the pictures, or answers otherwise. */
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
  expect(screen.getByRole('status')).toHaveTextContent('Copied');
  const copied = await items[0]?.['image/png'];
  expect(copied?.type).toBe('image/png');
  expect(await copied?.text()).toBe(stored(2));
  await waitFor(() => expect(screen.getByRole('button', { name: 'Copy illustration 2' })).toBeInTheDocument(), {
    timeout: 3_000,
  });
});

test('the clipboard is asked within the click, before the bytes are there', async () => {
  await completeRun({ loaded: 3 });
  const fourth = inHalves(4, 10);
  const { write } = clipboard();
  fireEvent.click(await button('Copy illustration 4'));
  expect(write).toHaveBeenCalledTimes(1);
  await waitFor(() => expect(onbrand.requests.filter((request) => request.includes('images/4'))).toHaveLength(2));
  expect(screen.queryByRole('button', { name: 'Copied illustration 4' })).not.toBeInTheDocument();
  fourth.finish();
  expect(await button('Copied illustration 4')).toBeInTheDocument();
});

const REFUSED = /The browser didn't allow copying. Download the picture, or right-click it and copy it/;

test('a refused clipboard says what to do instead', async () => {
  const { user } = await completeRun();
  clipboard(() => Promise.reject(browserError('NotAllowedError')));
  await user.click(await button('Copy illustration 1'));
  expect(await screen.findByText(REFUSED, { selector: 'p' })).toBeInTheDocument();
  expect(screen.getByRole('status')).toHaveTextContent(REFUSED);
  expect(screen.getAllByRole('img')).toHaveLength(4);
});

test('a browser that copies no pictures says what to do instead', async () => {
  const { user } = await completeRun();
  await user.click(await button('Copy illustration 1'));
  expect(await screen.findByText(REFUSED, { selector: 'p' })).toBeInTheDocument();
});

test('a picture that cannot be had for copying is not blamed on the clipboard', async () => {
  const { user } = await completeRun({ loaded: 3 });
  onbrand.once('GET', /images\/4$/, () => HttpResponse.error());
  clipboard();
  await user.click(await button('Copy illustration 4'));
  expect(await screen.findByText(LOST, { selector: 'p' })).toBeInTheDocument();
});

test('dragging a picture out gives the full PNG under its name, and no private address', async () => {
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
  expect(await liveAddresses.get(address ?? '')?.text()).toBe(stored(3));
});
