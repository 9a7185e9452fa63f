/** Browser notifications: offered to people who have waited before, and shown only in a background tab. */
import { act, screen, waitFor } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeOnbrand } from '../test/fake-onbrand';
import { generateJob, generateButton, waitUntilAvailable, renderApp } from '../test/render-app';

const OFFER = 'Notify me';
const FAILURE = { code: 'gpu_memory', title: 'Not enough GPU memory', detail: 'Try again in a moment.' };

let onbrand: FakeOnbrand;
let shown: FakeNotification[];
beforeEach(() => {
  onbrand = new FakeOnbrand();
  shown = [];
  localStorage.clear();
});
afterEach(() => localStorage.clear());

/** Replaces the browser's Notification. */
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

/** `answers` is what the person will answer; `permission` is what the person has answered before. */
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

/** Starts a second run in a tab whose first run has ended. */
async function secondRun() {
  const page = await generateJob(onbrand);
  onbrand.fail(page.id, FAILURE);
  await screen.findByText(FAILURE.title);
  await waitUntilAvailable('Generate');
  await page.user.click(generateButton());
  await waitFor(() => expect(onbrand.jobs.size).toBe(2));
  const { id } = onbrand.job(1);
  await waitFor(() => expect(onbrand.isStreamed(id)).toBe(true));
  return { ...page, id };
}

async function secondRunWithNotifications() {
  browser();
  const page = await secondRun();
  await page.user.click(screen.getByRole('button', { name: OFFER }));
  await screen.findByText("You'll be notified when it's done.");
  return page;
}

test('during the first run of a tab no notification is offered', async () => {
  browser();
  const { id } = await generateJob(onbrand);
  onbrand.draw(id, 2, 16);
  await screen.findByText(/step 2 of 12/);
  expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
});

test('the browser asks only after a click on the offer, and the page then confirms it', async () => {
  browser();
  const { user } = await secondRun();
  expect(FakeNotification.requestPermission).not.toHaveBeenCalled();
  await user.click(screen.getByRole('button', { name: OFFER }));
  expect(await screen.findByText("You'll be notified when it's done.")).toBeInTheDocument();
  expect(FakeNotification.requestPermission).toHaveBeenCalledOnce();
  expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
});

test('the end of a run in a background tab shows a notification, and a click on it opens the tab', async () => {
  const { id } = await secondRunWithNotifications();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(shown).toHaveLength(1));
  expect(shown[0]?.title).toBe('Onbrand: 4 illustrations ready');
  // A passer-by must not read the prompt on the screen.
  expect(JSON.stringify(shown[0]?.options)).not.toContain('teapot');
  const focusing = vi.spyOn(window, 'focus').mockImplementation(() => undefined);
  act(() => shown[0]?.onclick?.());
  expect(focusing).toHaveBeenCalledOnce();
  expect(shown[0]?.close).toHaveBeenCalledOnce();
});

test('a failed run in a background tab shows a notification, too', async () => {
  const { id } = await secondRunWithNotifications();
  leaveTab();
  onbrand.fail(id, FAILURE);
  await waitFor(() => expect(shown.map(({ title }) => title)).toEqual(['Onbrand: Failed: Not enough GPU memory']));
});

test('progress shows no notification', async () => {
  const { id } = await secondRunWithNotifications();
  leaveTab();
  onbrand.draw(id, 6, 50);
  await waitFor(() => expect(document.title).toBe('(50 %) Onbrand'));
  expect(shown).toEqual([]);
});

test('a visible tab shows no notification', async () => {
  const { id } = await secondRunWithNotifications();
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
  expect(shown).toEqual([]);
});

test('a permission from before is not used until the person wants notifications here', async () => {
  browser({ permission: 'granted' });
  const { id } = await secondRun();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(shown).toEqual([]);
});

test('the choice survives a refresh', async () => {
  const { id, unmount } = await secondRunWithNotifications();
  unmount();
  await renderApp();
  expect(await screen.findByText("You'll be notified when it's done.")).toBeInTheDocument();
  await waitFor(() => expect(onbrand.isStreamed(id)).toBe(true));
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(shown).toHaveLength(1));
});

test('a person who refuses is told about the title of the tab, and is not asked again', async () => {
  browser({ answers: 'denied' });
  const { id, user } = await secondRun();
  await user.click(screen.getByRole('button', { name: OFFER }));
  expect(await screen.findByText(/The title of this tab shows the progress/)).toBeInTheDocument();
  expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(shown).toEqual([]);
});

test.each([['a browser that refuses notifications', true], ['a browser without notifications', false]])(
  '%s offers nothing',
  async (_name, isKnown) => {
    if (isKnown) browser({ permission: 'denied' });
    await secondRun();
    expect(screen.queryByRole('button', { name: OFFER })).not.toBeInTheDocument();
  },
);

test('a phone, where a page cannot show notifications, still shows the pictures', async () => {
  const { id } = await secondRunWithNotifications();
  vi.stubGlobal('Notification', Object.assign(function Refusing() {
    throw new TypeError('Illegal constructor');
  }, { permission: 'granted' }));
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(screen.getAllByRole('img')).toHaveLength(4));
});

test('notifications can be turned off', async () => {
  const { user, id } = await secondRunWithNotifications();
  await user.click(screen.getByRole('button', { name: 'Turn off' }));
  expect(await screen.findByRole('button', { name: OFFER })).toBeInTheDocument();
  leaveTab();
  onbrand.complete(id);
  await waitFor(() => expect(document.title).toBe('Ready · Onbrand'));
  expect(shown).toEqual([]);
});

test('the choice is stored for one account only', async () => {
  await secondRunWithNotifications();
  const stored = Object.keys(localStorage).filter((key) => key.startsWith('onbrand.notices'));
  expect(stored).toEqual(['onbrand.notices.account-1']);
});

test('the offer stays if the person closes the question of the browser', async () => {
  browser({ answers: 'default' });
  const { user } = await secondRun();
  await user.click(screen.getByRole('button', { name: OFFER }));
  expect(await screen.findByRole('button', { name: OFFER })).toBeInTheDocument();
  expect(screen.queryByText(/doesn't allow notifications/)).not.toBeInTheDocument();
});
