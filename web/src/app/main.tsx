/** The entry point. The sign-in starts before React: StrictMode renders twice, but the sign-in's answer in the URL can
 *  be read only once. */
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import '../ui/base.css';
import { applyStoredTheme } from '../ui/theme';
import { App } from './app';
import { start } from './start';

applyStoredTheme();

// A page from the browser's back/forward cache would show what was on it before a sign-out.
window.addEventListener('pageshow', (event) => {
  if (event.persisted) window.location.reload();
});

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');
createRoot(root).render(
  <StrictMode>
    <App started={start()} />
  </StrictMode>,
);
