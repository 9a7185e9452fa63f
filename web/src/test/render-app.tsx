/** Renders the whole page as a signed-in person, with MSAL replaced at its edge: the `Session`. */
import { act, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { StrictMode } from 'react';
import { vi } from 'vitest';
import { App } from '../app/app';
import type { Started } from '../app/start';
import type { Session } from '../auth/session';
import { PAGE_CONFIG } from './fake-onbrand';

export function fakeSession(account = { id: 'account-1', name: 'Studio member', username: 'member@studio.example' }) {
  return {
    account,
    getToken: vi.fn<Session['getToken']>(({ forceRefresh }) => Promise.resolve(forceRefresh ? 'fresh' : 'token')),
    signInAgain: vi.fn<() => void>(),
    useAnotherAccount: vi.fn<() => void>(),
    signOut: vi.fn<() => void>(),
  };
}

export async function renderStarted(started: Promise<Started>) {
  const user = userEvent.setup();
  // The page suspends until it knows who is signed in.
  const app = (
    <StrictMode>
      <App started={started} />
    </StrictMode>
  );
  const page = await act(() => Promise.resolve(render(app)));
  return { user, ...page };
}

export function renderApp(session: Session = fakeSession()) {
  return renderStarted(Promise.resolve({ kind: 'signed-in', session, config: PAGE_CONFIG }));
}

export const promptField = () => screen.findByLabelText('Describe the illustration');
export const generateButton = () => screen.getByRole('button', { name: 'Generate' });
