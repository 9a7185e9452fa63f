/** The entry of the page. Signing in starts before React does: what comes back in the address must be read once. */
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import '../ui/base.css';
import { applyStoredTheme } from '../ui/theme';
import { App } from './app';
import { start } from './start';

applyStoredTheme();

// A page taken out of the browser's back/forward store would show what was on it before a sign-out.
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
