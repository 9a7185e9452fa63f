/** Adds what jsdom lacks, and gives each test a clean browser tab and a clock that it can move. */
import { File } from 'node:buffer';
import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest';
import { startClock, stopClock } from './clock';
import { liveUrls } from './object-urls';
import { server } from './server';

configure({
  // How long `findBy…` and `waitFor` wait. A machine that is busy with other work needs seconds for what takes 50 ms.
  asyncUtilTimeout: 20_000,
  // Without this, every failure would print the whole document.
  getElementError: (message) => new Error(message?.split('\n')[0]),
});

// The network of the tests belongs to Node. jsdom's own File can't hold the bytes that come from there.
Object.assign(globalThis, { File });

// jsdom can't open dialogs. The tests in a real browser cover Esc and that the focus stays inside.
HTMLDialogElement.prototype.showModal = function showModal() {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close() {
  this.open = false;
  queueMicrotask(() => this.dispatchEvent(new Event('close')));
};

beforeAll(() => server.listen({ onUnhandledRequest: 'error' }));

beforeEach(() => {
  startClock();
  sessionStorage.clear();
  localStorage.clear();
  document.title = '';
  // The tab's history outlives a test: no picture is large when one begins.
  window.history.replaceState(null, '');
  window.dispatchEvent(new PopStateEvent('popstate', { state: null }));
  liveUrls.clear();
  vi.stubGlobal('scrollTo', vi.fn());
});

afterEach(() => {
  cleanup();
  server.resetHandlers();
  vi.unstubAllGlobals();
  stopClock();
});

afterAll(() => server.close());
