/**
 * Browser notifications about runs that end while the tab is in the background, for people who want them.
 *
 * The browser keeps the permission, and a page can't give it back. So this file stores by account who wants
 * notifications. A notification never contains the prompt: it stays on the screen and in the system's list, also when
 * the person has left.
 */
import { useCallback, useSyncExternalStore } from 'react';
import { strings } from '../ui/strings';

const KEY = 'onbrand.notices.';
const changes = new EventTarget();
/** The choices that the browser refused to store. They last while the page is open. */
const unstored = new Map<string, boolean>();

type Notifications = {
  isWanted: boolean;
  /** The browser knows notifications, and nobody has refused them. */
  canAsk: boolean;
  /** Asks the person for permission. Must be called from a click handler. */
  ask: () => Promise<NotificationPermission>;
  turnOff: () => void;
};

export function useNotifications(accountId: string): Notifications {
  const isWanted = useSyncExternalStore(subscribe, () => isOn(accountId));
  const setWanted = useCallback(
    (isWantedNow: boolean) => {
      store(accountId, isWantedNow);
      changes.dispatchEvent(new Event('change'));
    },
    [accountId],
  );
  const ask = useCallback(async () => {
    const permission = await Notification.requestPermission();
    if (permission === 'granted') setWanted(true);
    return permission;
  }, [setWanted]);
  const turnOff = useCallback(() => setWanted(false), [setWanted]);
  return { isWanted, canAsk: 'Notification' in window && Notification.permission !== 'denied', ask, turnOff };
}

/**
 * Shows a notification if the tab is in the background and the person wants notifications. A click on it opens the tab.
 * A second notification with the same `tag` replaces the first.
 */
export function notify(accountId: string, title: string, tag: string): void {
  if (!document.hidden || !isOn(accountId)) return;
  try {
    const notification = new Notification(`${strings.product}: ${title}`, { tag, icon: '/favicon.svg' });
    notification.onclick = () => {
      window.focus();
      notification.close();
    };
  } catch {
    // Phones allow notifications from service workers only. There the title of the tab shows that the run has ended.
  }
}

function isOn(accountId: string): boolean {
  if (!('Notification' in window) || Notification.permission !== 'granted') return false;
  return unstored.get(accountId) ?? isStored(accountId);
}

function isStored(accountId: string): boolean {
  try {
    return localStorage.getItem(KEY + accountId) === 'on';
  } catch {
    return false;
  }
}

function store(accountId: string, isWanted: boolean): void {
  try {
    if (isWanted) localStorage.setItem(KEY + accountId, 'on');
    else localStorage.removeItem(KEY + accountId);
  } catch {
    unstored.set(accountId, isWanted);
  }
}

function subscribe(listener: () => void): () => void {
  changes.addEventListener('change', listener);
  return () => changes.removeEventListener('change', listener);
}
