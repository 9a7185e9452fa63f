/** What jsdom lacks, and a clean tab for each test. */
import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterAll, afterEach, beforeAll, beforeEach, vi } from 'vitest';
import { liveAddresses } from './addresses';
import { server } from './server';

// The page's whole document in every failure is more than anybody reads.
configure({ getElementError: (message) => new Error(message?.split('\n')[0]) });

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
