import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// Everything that is not the page's own goes to the API, as when the API serves the built page itself.
const API = 'http://127.0.0.1:8000';
const API_PATHS = '^/(config\\.json|me|generate|jobs|warm|reviews|[0-9a-f-]{36})(/|\\?|$)';

export default defineConfig({
  plugins: [react()],
  server: { port: 5173, strictPort: true, proxy: { [API_PATHS]: API } },
  build: {
    target: 'es2023',
    rollupOptions: { input: { app: 'index.html', auth: 'auth.html' } },
    // The Content-Security-Policy allows neither data: addresses nor inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700, // raw kB; what counts is checked by `npm run size`
  },
  test: {
    environment: 'jsdom',
    environmentOptions: { jsdom: { url: 'http://localhost:8000/' } },
    setupFiles: ['src/test/setup.ts'],
    restoreMocks: true,
    testTimeout: 120_000, // a busy machine needs minutes for what takes seconds
    maxWorkers: '100%', // half of the time is waiting; Vitest would leave one core free
  },
});
