/**
 * Browser notices for runs that end while the tab is in the background, if the person asked for them.
 *
 * The browser keeps the permission; whether it is wanted is kept here, because a permission can't be given back.
 */
import { useSyncExternalStore } from 'react';
import { strings } from '../ui/strings';

const KEY = 'onbrand.notices';
const changed = new EventTarget();

type Notices = {
  /** Notices are shown. */
  isWanted: boolean;
  /** Asking could have an effect: the browser knows notices, and nobody has refused them. */
  mayAsk: boolean;
  /** Asks the person; must come from a press of a button. Resolves to whether they said yes. */
  ask: () => Promise<boolean>;
};

export function useNotices(): Notices {
  const isWanted = useSyncExternalStore(subscribe, isOn);
  return { isWanted, mayAsk: 'Notification' in window && Notification.permission !== 'denied', ask };
}

async function ask(): Promise<boolean> {
  const isGranted = (await Notification.requestPermission()) === 'granted';
  if (isGranted) keep();
  changed.dispatchEvent(new Event('change'));
  return isGranted;
}

/** Shows a notice if the tab is in the background and notices are on; a click on it comes back to the tab. */
export function notify(title: string, body: string, tag: string): void {
  if (!document.hidden || !isOn()) return;
  try {
    const notice = new Notification(`${strings.product}: ${title}`, { body, tag, icon: '/favicon.svg' });
    notice.onclick = () => {
      window.focus();
      notice.close();
    };
  } catch {
    // Phones allow notices from service workers only; the tab's title says it there.
  }
}

function isOn(): boolean {
  return 'Notification' in window && Notification.permission === 'granted' && isKept();
}

function isKept(): boolean {
  try {
    return localStorage.getItem(KEY) === 'on';
  } catch {
    return false;
  }
}

function keep(): void {
  try {
    localStorage.setItem(KEY, 'on');
  } catch {
    // A browser may refuse storage; then there are no notices, and the title still says it.
  }
}

function subscribe(listener: () => void): () => void {
  changed.addEventListener('change', listener);
  return () => changed.removeEventListener('change', listener);
}
