/** What jsdom lacks, and a clean tab for each test. */
import { File } from 'node:buffer';
import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest';
import { liveAddresses } from './object-urls';
import { server } from './server';

// The page's whole document in every failure is more than anybody reads.
configure({ getElementError: (message) => new Error(message?.split('\n')[0]) });

// The network of the tests is Node's, and jsdom's own File knows nothing of the bytes that come from there.
Object.assign(globalThis, { File });

// jsdom opens no dialogs. Esc and the trap for the focus are the browser's, and tested in one.
HTMLDialogElement.prototype.showModal = function showModal() {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close() {
  this.open = false;
  queueMicrotask(() => this.dispatchEvent(new Event('close')));
};

beforeAll(() => server.listen({ onUnhandledRequest: 'error' }));

beforeEach(() => {
  sessionStorage.clear();
  document.title = '';
  liveAddresses.clear();
  vi.stubGlobal('scrollTo', vi.fn());
});

afterEach(() => {
  cleanup();
  server.resetHandlers();
  vi.unstubAllGlobals();
});

afterAll(() => server.close());
