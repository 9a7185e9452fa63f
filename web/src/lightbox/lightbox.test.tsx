/** The lightbox, through the rendered page. The browser handles Esc and keeps the focus inside; jsdom doesn't. */
import { act, fireEvent, screen, waitFor, within } from '@testing-library/react';
import { beforeEach, expect, test, vi } from 'vitest';
import { settle } from '../test/clock';
import { liveUrls } from '../test/object-urls';
import { FakeOnbrand, pictureBytes } from '../test/fake-onbrand';
import { generateButton, promptField, renderApp, waitUntilLoadedAhead } from '../test/render-app';
import { recordDownloads, type Download } from '../test/downloads';

const PROMPT = 'a teapot';

let onbrand: FakeOnbrand;
let saved: Download[];
beforeEach(() => {
  onbrand = new FakeOnbrand();
  saved = recordDownloads();
});

const dialog = () => screen.getByRole<HTMLDialogElement>('dialog');
const inside = () => within(dialog());
const position = () => inside().getByText(/^\d of 4$/, { selector: 'div > span' }).textContent;
const shown = async () => {
  const address = inside().getByRole('img').getAttribute('src') ?? '';
  return (await liveUrls.get(address)?.text()) ?? 'nothing';
};
const viewport = () => inside().getByRole('img').parentElement ?? document.body;
const opener = (n: number) => screen.getByRole('button', { name: `Illustration ${n} of 4: ${PROMPT}` });

async function openPicture(n: number) {
  const page = await renderApp();
  await page.user.type(await promptField(), PROMPT);
  await page.user.click(generateButton());
  await waitFor(() => expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true));
  const job = onbrand.job(0);
  onbrand.update(job.id, { pack: { id: 'sha256:1', name: 'House style', version: 'v3' } });
  onbrand.complete(job.id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  await waitUntilLoadedAhead(4);
  await page.user.click(opener(n));
  return { ...page, job };
}

test('a picture opens in the lightbox, which has the prompt as its name and gets the focus', async () => {
  const { job } = await openPicture(2);
  expect(dialog()).toHaveAccessibleName(PROMPT);
  expect(dialog()).toHaveFocus();
  expect(inside().getByRole('img')).toHaveAccessibleName(`Illustration 2 of 4: ${PROMPT}`);
  expect(await shown()).toBe(pictureBytes(job, 2));
});

test('a picture that is on the page is not loaded again', async () => {
  const { job } = await openPicture(2);
  expect(onbrand.requests.filter((request) => request.endsWith(`${job.id}/images/2`))).toHaveLength(1);
});

test('Close closes the lightbox, and the focus returns to the picture', async () => {
  const { user } = await openPicture(3);
  await user.click(inside().getByRole('button', { name: 'Close' }));
  expect(screen.queryByRole('dialog')).not.toBeInTheDocument();
  expect(opener(3)).toHaveFocus();
});

/** Does something that makes the browser go to another entry, and waits until it is there, a moment later. */
async function travelling(start: () => unknown): Promise<void> {
  const arrived = new Promise((resolve) => {
    window.addEventListener('popstate', resolve, { once: true });
  });
  start();
  await act(() => arrived);
}
const travel = (direction: 'back' | 'forward') => travelling(() => window.history[direction]());
const close = () => fireEvent.click(inside().getByRole('button', { name: 'Close' }));

test('Back closes the lightbox, Forward opens it again, and the focus returns to the picture', async () => {
  await openPicture(3);
  await travel('back');
  expect(screen.queryByRole('dialog')).not.toBeInTheDocument();
  expect(opener(3)).toHaveFocus();
  await travel('forward');
  expect(position()).toBe('3 of 4');
});

test('however often pictures are opened, turned and closed, the tab has one entry more, not one each', async () => {
  const { user } = await openPicture(1);
  const before = window.history.length;
  await user.keyboard('{ArrowRight}{ArrowRight}');
  for (const n of [4, 2, 3]) {
    await travelling(close);
    expect(window.history.state).toBeNull();
    await user.click(opener(n));
  }
  expect(window.history.length).toBe(before);
});

test('a picture that is opened while the browser still leaves the last one has an entry, too', async () => {
  await openPicture(1);
  await travelling(() => {
    close();
    fireEvent.click(opener(2));
  });
  expect(position()).toBe('2 of 4');
  await travel('back');
  expect(screen.queryByRole('dialog')).not.toBeInTheDocument();
});

test('a refresh keeps the large picture', async () => {
  const { user, unmount } = await openPicture(1);
  await user.keyboard('{ArrowRight}');
  unmount();
  await renderApp();
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeInTheDocument());
  expect(position()).toBe('2 of 4');
});

test('Esc only closes the lightbox', async () => {
  await openPicture(1);
  dialog().close(); // the browser does this for Esc
  await waitFor(() => expect(screen.queryByRole('dialog')).not.toBeInTheDocument());
  expect(opener(1)).toHaveFocus();
  expect(screen.getAllByRole('img')).toHaveLength(4);
  expect(onbrand.cancelled).toEqual([]);
});

test('a click on the backdrop closes the lightbox; a click that begins or ends inside does not', async () => {
  await openPicture(1);
  fireEvent.pointerDown(inside().getByRole('heading'));
  fireEvent.click(dialog()); // as when a person selects text and releases the button outside
  expect(dialog()).toBeInTheDocument();
  fireEvent.pointerDown(dialog());
  fireEvent.click(inside().getByRole('heading'));
  expect(dialog()).toBeInTheDocument();
  fireEvent.pointerDown(dialog());
  fireEvent.click(dialog());
  expect(screen.queryByRole('dialog')).not.toBeInTheDocument();
});

test('arrow keys, Home and End go through the pictures and stop at the first and the last', async () => {
  const { user, job } = await openPicture(2);
  const visited: string[] = [];
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', 'Home', 'ArrowLeft', 'End', 'ArrowLeft']) {
    await user.keyboard(`{${key}}`);
    visited.push(position());
    expect(inside().getByRole('status')).toHaveTextContent(position());
  }
  expect(visited).toEqual(['3 of 4', '4 of 4', '4 of 4', '1 of 4', '1 of 4', '4 of 4', '3 of 4']);
  expect(await shown()).toBe(pictureBytes(job, 3));
});

test('Next and Previous go through the pictures, keep the focus, and are off at the ends', async () => {
  const { user } = await openPicture(3);
  const next = inside().getByRole('button', { name: 'Next' });
  expect(next).not.toHaveAttribute('aria-disabled');
  await user.click(next);
  expect(position()).toBe('4 of 4');
  expect(next).toHaveAttribute('aria-disabled', 'true');
  expect(next).toHaveFocus();
  await user.click(inside().getByRole('button', { name: 'Previous' }));
  expect(position()).toBe('3 of 4');
});

test('D downloads the shown picture', async () => {
  const { user, job } = await openPicture(1);
  await user.keyboard('{ArrowRight}d');
  await waitFor(() => expect(saved).toHaveLength(1));
  expect(saved[0]?.name).toMatch(/_2\.png$/);
  expect(new TextDecoder().decode(await saved[0]?.bytes())).toBe(pictureBytes(job, 2));
});

test('a held D downloads nothing more, and Ctrl+D and Cmd+C belong to the browser', async () => {
  await openPicture(1);
  const write = vi.spyOn(navigator.clipboard, 'write');
  expect(fireEvent.keyDown(dialog(), { key: 'd', ctrlKey: true })).toBe(true);
  expect(fireEvent.keyDown(dialog(), { key: 'c', metaKey: true })).toBe(true);
  fireEvent.keyDown(dialog(), { key: 'd', repeat: true });
  await settle();
  expect(saved).toEqual([]);
  expect(write).not.toHaveBeenCalled();
});

test('C copies the shown picture, and the button says so', async () => {
  const { user, job } = await openPicture(4);
  const offered: Record<string, Promise<Blob>>[] = [];
  vi.stubGlobal('ClipboardItem', function Item(this: object, item: Record<string, Promise<Blob>>) {
    offered.push(item);
  });
  vi.spyOn(navigator.clipboard, 'write').mockResolvedValue();
  await user.keyboard('c');
  expect(await inside().findByRole('button', { name: 'Copied illustration 4' })).toBeInTheDocument();
  expect(inside().getByRole('status')).toHaveTextContent('Copied');
  expect(await (await offered[0]?.['image/png'])?.text()).toBe(pictureBytes(job, 4));
});

test('the error of one picture is not shown for the next', async () => {
  const { user } = await openPicture(1);
  const refused = () => inside().queryByText(/didn't allow copying/, { selector: 'p' });
  await user.keyboard('c'); // jsdom can't copy pictures
  await waitFor(() => expect(refused()).toBeInTheDocument());
  await user.keyboard('{ArrowRight}');
  expect(refused()).not.toBeInTheDocument();
});

test('at 100 %, one pixel of the picture is one pixel of the screen, also after the window has changed', async () => {
  vi.stubGlobal('devicePixelRatio', 2);
  const { user } = await openPicture(1);
  const picture = inside().getByRole('img');
  expect(picture.style.width).toBe('');
  await user.click(inside().getByRole('button', { name: '100 %' }));
  expect(picture.style.width).toBe('512px');
  vi.stubGlobal('devicePixelRatio', 1);
  fireEvent(window, new Event('resize'));
  expect(picture.style.width).toBe('1024px');
  await user.keyboard('z');
  expect(picture.style.width).toBe('');
});

/** Gives the viewport a size, because jsdom has no layout: 400 px, with a picture of 1024 px in it. */
function layOut(): HTMLElement {
  const element = viewport();
  for (const side of ['Width', 'Height']) {
    Object.defineProperty(element, `scroll${side}`, { value: 1024 });
    Object.defineProperty(element, `client${side}`, { value: 400 });
  }
  return element;
}

test('at 100 % the picture is centred, and the arrow keys move it instead of going to the next picture', async () => {
  const { user } = await openPicture(2);
  const scrolled = layOut();
  await user.keyboard('z');
  expect(scrolled).toHaveAttribute('tabindex', '0');
  expect([scrolled.scrollLeft, scrolled.scrollTop]).toEqual([312, 312]);
  await user.keyboard('{ArrowRight}{ArrowDown}{ArrowDown}');
  expect([scrolled.scrollLeft, scrolled.scrollTop]).toEqual([392, 472]);
  expect(position()).toBe('2 of 4');
  await user.click(inside().getByRole('button', { name: 'Next' }));
  expect(position()).toBe('3 of 4');
  // The next picture shows the same part, so that a person can compare.
  expect([scrolled.scrollLeft, scrolled.scrollTop]).toEqual([392, 472]);
});

test('at 100 % the mouse drags the picture', async () => {
  const { user } = await openPicture(2);
  const scrolled = layOut();
  scrolled.setPointerCapture = vi.fn();
  await user.keyboard('z');
  expect(inside().getByRole('img')).toHaveAttribute('draggable', 'false');
  fireEvent.pointerDown(scrolled, { pointerType: 'mouse', button: 0, clientX: 200, clientY: 200 });
  fireEvent.pointerMove(scrolled, { clientX: 150, clientY: 190 });
  fireEvent.pointerUp(scrolled);
  fireEvent.pointerMove(scrolled, { clientX: 0, clientY: 0 });
  expect([scrolled.scrollLeft, scrolled.scrollTop]).toEqual([362, 322]);
});

test('the details belong to the shown picture', async () => {
  const { user } = await openPicture(1);
  const facts = () => inside().getAllByRole('listitem').map((item) => item.textContent);
  expect(facts()).toEqual([
    'House style v3',
    expect.stringMatching(/^28 Jan, \d\d:02$/),
    'took 6 s',
    'kept until 27 Feb',
    'Seed 11',
    '1024 × 1024 PNG',
  ]);
  await user.keyboard('{End}');
  expect(facts()).toContain('Seed 14');
});

test('the prompt can be copied', async () => {
  const { user } = await openPicture(1);
  const writeText = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue();
  await user.click(inside().getByRole('button', { name: 'Copy prompt' }));
  expect(await inside().findByRole('button', { name: 'Copied' })).toBeInTheDocument();
  expect(writeText).toHaveBeenCalledWith(PROMPT);
});

test('a picture that the browser cannot show can be loaded again', async () => {
  const { user } = await openPicture(2);
  fireEvent.error(inside().getByRole('img'));
  expect(inside().getByText("This picture couldn't be loaded.")).toBeInTheDocument();
  await user.click(inside().getByRole('button', { name: 'Try again' }));
  await waitFor(() => expect(inside().getByRole('img')).toBeInTheDocument());
});
