/** Browser notices: offered to those who have waited before, asked for on a press, shown only in the background. */
import { act, screen, waitFor } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeOnbrand } from '../test/fake-onbrand';
import { follow, generateButton, pressable, renderApp } from '../test/render-app';

const OFFER = "Tell me when it's done";
const FAILURE = { code: 'gpu_memory', title: 'Not enough GPU memory', detail: 'Try again in a moment.' };

let onbrand: FakeOnbrand;
let shown: FakeNotification[];
beforeEach(() => {
  onbrand = new FakeOnbrand();
  shown = [];
  localStorage.clear();
});
afterEach(() => localStorage.clear());

/** The browser's notices, at the page's edge. */
class FakeNotification {
  static permission: NotificationPermission = 'default';
  static requestPermission = vi.fn<() => Promise<NotificationPermission>>();
  onclick: (() => void) | null = null;
  close = vi.fn<() => void>();
  constructor(
    readonly title: string,
    readonly options: NotificationOptions,
  ) {
    shown.push(this);
  }
}

/** A browser that answers so when it is asked, or has been asked before. */
function browser({ answers = 'granted', permission = 'default' }: Record<string, NotificationPermission> = {}) {
  FakeNotification.permission = permission;
  FakeNotification.requestPermission = vi.fn(() => {
    FakeNotification.permission = answers;
    return Promise.resolve(answers);
  });
  vi.stubGlobal('Notification', FakeNotification);
}

function leaveTab(): void {
  vi.spyOn(document, 'hidden', 'get').mockReturnValue(true);
}

/** The second run of a tab, whose first has ended. */
async function secondRun() {
  const page = await follow(onbrand);
  onbrand.fail(page.id, FAILURE);
  await screen.findByText(FAILURE.title);
  await pressable('Generate');
  await page.user.click(generateButton());
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  const { id } = onbrand.job(1);
  await waitFor(() => expect(onbrand.isStreamed(id)).toBe(true));
  return { ...page, id };
}

async function secondRunWithNotices() {
  browser();
  const page = await secondRun();
  await page.user.click(screen.getByRole('button', { name: OFFER }));
  await screen.findByText("You'll get a notice when it's done.");
  return page;
}

test('during the first run of a tab nothing is offered', async () => {
  browser();
  const { id } = await follow(onbrand);
  onbrand.draw(id, 2, 16);
  await screen.findByText(/step 2 of 12/);
  expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
});

test('the browser asks only when the offer is pressed, and then the page says that a notice will come', async () => {
  browser();
  const { user } = await secondRun();
  expect(FakeNotification.requestPermission).not.toHaveBeenCalled();
  await user.click(screen.getByRole('button', { name: OFFER }));
  expect(await screen.findByText("You'll get a notice when it's done.")).toBeInTheDocument();
  expect(FakeNotification.requestPermission).toHaveBeenCalledOnce();
  expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
});

test('the end of a run in a background tab is shown, and a click on the notice comes back to the tab', async () => {
  const { id } = await secondRunWithNotices();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(shown).toHaveLength(1));
  expect(shown[0]?.title).toBe('Onbrand: 4 illustrations ready');
  // Whoever walks past the screen reads no prompt.
  expect(JSON.stringify(shown[0]?.options)).not.toContain('teapot');
  const focusing = vi.spyOn(window, 'focus').mockImplementation(() => undefined);
  act(() => shown[0]?.onclick?.());
  expect(focusing).toHaveBeenCalledOnce();
  expect(shown[0]?.close).toHaveBeenCalledOnce();
});

test('a failure in a background tab is shown too', async () => {
  const { id } = await secondRunWithNotices();
  leaveTab();
  onbrand.fail(id, FAILURE);
  await waitFor(() => expect(shown.map(({ title }) => title)).toEqual(['Onbrand: Failed: Not enough GPU memory']));
});

test('steps on the way are not shown', async () => {
  const { id } = await secondRunWithNotices();
  leaveTab();
  onbrand.draw(id, 6, 50);
  await waitFor(() => expect(document.title).toBe('(50 %) Onbrand'));
  expect(shown).toEqual([]);
});

test('somebody who looks at the tab gets no notice', async () => {
  const { id } = await secondRunWithNotices();
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  expect(shown).toEqual([]);
});

test('a permission given before is not used until somebody wants notices here', async () => {
  browser({ permission: 'granted' });
  const { id } = await secondRun();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(shown).toEqual([]);
});

test('what was wanted is still wanted after a refresh', async () => {
  const { id, unmount } = await secondRunWithNotices();
  unmount();
  await renderApp();
  expect(await screen.findByText("You'll get a notice when it's done.")).toBeInTheDocument();
  await waitFor(() => expect(onbrand.isStreamed(id)).toBe(true));
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(shown).toHaveLength(1));
});

test('somebody who refuses is told where to look instead, and is not asked again', async () => {
  browser({ answers: 'denied' });
  const { id, user } = await secondRun();
  await user.click(screen.getByRole('button', { name: OFFER }));
  expect(await screen.findByText(/This tab's title shows the progress/)).toBeInTheDocument();
  expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(shown).toEqual([]);
});

test.each([['a browser that refuses notices', true], ['a browser without notices', false]])(
  '%s offers nothing',
  async (_name, isKnown) => {
    if (isKnown) browser({ permission: 'denied' });
    await secondRun();
    expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
  },
);

test('a phone, where pages may not show notices themselves, loses nothing', async () => {
  const { id } = await secondRunWithNotices();
  vi.stubGlobal('Notification', Object.assign(function Refusing() {
    throw new TypeError('Illegal constructor');
  }, { permission: 'granted' }));
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
});

test('notices can be turned off again', async () => {
  const { user, id } = await secondRunWithNotices();
  await user.click(screen.getByRole('button', { name: 'Turn off' }));
  expect(await screen.findByRole('button', { name: OFFER })).toBeInTheDocument();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(shown).toEqual([]);
});

test('the next person in this browser gets none unasked', async () => {
  await secondRunWithNotices();
  expect(Object.keys(localStorage)).toEqual(['onbrand.notices.account-1']);
});

test('a question that was closed without an answer may be asked again', async () => {
  browser({ answers: 'default' });
  const { user } = await secondRun();
  await user.click(screen.getByRole('button', { name: OFFER }));
  expect(await screen.findByRole('button', { name: OFFER })).toBeInTheDocument();
  expect(screen.queryByText(/doesn't allow notices/)).not.toBeInTheDocument();
});
