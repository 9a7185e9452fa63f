/** Renders the whole page for a signed-in person. Only the `Session` is replaced, which MSAL makes in the product. */
import { act, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { StrictMode } from 'react';
import { expect, vi } from 'vitest';
import { App } from '../app/app';
import type { Started } from '../app/start';
import type { Session } from '../auth/session';
import { passTime, settle } from './clock';
import { ONBRAND, type FakeOnbrand } from './fake-onbrand';

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
  const user = userEvent.setup({ delay: null });
  const app = (
    <StrictMode>
      <App started={started} />
    </StrictMode>
  );
  const page = await act(() => Promise.resolve(render(app)));
  return { user, ...page };
}

export function renderApp(session: Session = fakeSession()) {
  return renderStarted(Promise.resolve({ kind: 'signed-in', session, onbrand: ONBRAND }));
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

/** Like `pressGenerate`, then waits until the page watches the job through its event stream. */
export async function generateJob(onbrand: FakeOnbrand, prompt = 'a teapot') {
  const page = await pressGenerate(prompt);
  await waitFor(() => expect(onbrand.isStreamed(onbrand.job(0).id)).toBe(true));
  return { ...page, id: onbrand.job(0).id };
}

/** Waits until a button that starts a run can be pressed: for a second after a press, another press is ignored. */
export async function waitUntilAvailable(name: string): Promise<HTMLElement> {
  const button = () => screen.getByRole('button', { name });
  await passTime(1_000);
  await waitFor(() => expect(button()).not.toHaveAttribute('aria-disabled'));
  return button();
}

/** Waits until the PNGs of so many shown pictures are here. The page loads them a second after the tiles. */
export async function waitUntilLoadedAhead(count: number): Promise<void> {
  await settle();
  await passTime(1_000);
  await waitFor(() => expect(screen.queryAllByRole('img').filter(({ draggable }) => draggable)).toHaveLength(count));
}

/** Waits until the live region says this. React announces a text a moment after it shows it. */
export async function expectAnnounced(text: string | RegExp): Promise<void> {
  await waitFor(() => expect(screen.getByRole('status')).toHaveTextContent(text));
}
