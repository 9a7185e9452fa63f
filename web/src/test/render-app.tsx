/** Renders the whole page as a signed-in person, with MSAL replaced at its edge: the `Session`. */
import { act, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { StrictMode } from 'react';
import { expect, vi } from 'vitest';
import { App } from '../app/app';
import type { Started } from '../app/start';
import type { Session } from '../auth/session';
import { PAGE_CONFIG, type FakeOnbrand } from './fake-onbrand';

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

/** Opens the page, types a prompt and presses Generate. */
export async function pressGenerate(prompt: string) {
  const page = await renderApp();
  await page.user.type(await promptField(), prompt);
  await page.user.click(generateButton());
  return page;
}

/** As `pressGenerate`, then waits until the page follows the job by its stream. */
export async function follow(onbrand: FakeOnbrand, prompt = 'a teapot') {
  const page = await pressGenerate(prompt);
  await waitFor(() => expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true));
  return { ...page, id: onbrand.job(0).id };
}

/** Waits until the button can be pressed: a press within a second of another is part of it. */
export async function pressable(name: string): Promise<HTMLElement> {
  const button = () => screen.getByRole('button', { name });
  await waitFor(() => expect(button()).not.toHaveAttribute('aria-disabled'), { timeout: 3_000 });
  return button();
}
