/**
 * Browser notices for runs that end while the tab is in the background, for whoever asked for them.
 *
 * The browser keeps the permission, which can't be given back; who wants notices is kept here, by account. A notice
 * never holds the prompt: it stays on the screen, and in the system's list, when the person has left.
 */
import { useCallback, useSyncExternalStore } from 'react';
import { strings } from '../ui/strings';

const KEY = 'onbrand.notices.';
const changed = new EventTarget();
/** For a browser that refuses to store the choice: it then holds for as long as the page is open. */
const chosen = new Map<string, boolean>();

type Notices = {
  isWanted: boolean;
  /** Asking could have an effect: the browser knows notices, and nobody has refused them. */
  mayAsk: boolean;
  /** Asks the person, which must come from a press of a button. */
  ask: () => Promise<NotificationPermission>;
  turnOff: () => void;
};

export function useNotices(accountId: string): Notices {
  const isWanted = useSyncExternalStore(subscribe, () => isOn(accountId));
  const choose = useCallback(
    (isOnNow: boolean) => {
      remember(accountId, isOnNow);
      changed.dispatchEvent(new Event('change'));
    },
    [accountId],
  );
  const ask = useCallback(async () => {
    const permission = await Notification.requestPermission();
    if (permission === 'granted') choose(true);
    return permission;
  }, [choose]);
  const turnOff = useCallback(() => choose(false), [choose]);
  return { isWanted, mayAsk: 'Notification' in window && Notification.permission !== 'denied', ask, turnOff };
}

/** Shows a notice if the tab is in the background and the person wants it; a click on it comes back to the tab. */
export function notify(accountId: string, title: string, tag: string): void {
  if (!document.hidden || !isOn(accountId)) return;
  try {
    const notice = new Notification(`${strings.product}: ${title}`, { tag, icon: '/favicon.svg' });
    notice.onclick = () => {
      window.focus();
      notice.close();
    };
  } catch {
    // Phones allow notices from service workers only; the tab's title says it there.
  }
}

function isOn(accountId: string): boolean {
  if (!('Notification' in window) || Notification.permission !== 'granted') return false;
  return chosen.get(accountId) ?? isStored(accountId);
}

function isStored(accountId: string): boolean {
  try {
    return localStorage.getItem(KEY + accountId) === 'on';
  } catch {
    return false;
  }
}

function remember(accountId: string, isWanted: boolean): void {
  try {
    if (isWanted) localStorage.setItem(KEY + accountId, 'on');
    else localStorage.removeItem(KEY + accountId);
  } catch {
    chosen.set(accountId, isWanted);
  }
}

function subscribe(listener: () => void): () => void {
  changed.addEventListener('change', listener);
  return () => changed.removeEventListener('change', listener);
}
