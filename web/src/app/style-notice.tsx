/** Says that a designer rejected the style that was used, and that the one before it is used again. */
import { useEffect, useState } from 'react';
import type { Me } from '../api/get-me';
import { loadFromTab, saveToTab } from '../tab-storage';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { formatDay } from '../ui/dates';
import { strings } from '../ui/strings';
import styles from './connection-banner.module.css';

const KEY = 'style-notice';

export function StyleNotice({ takenBack }: { takenBack: Me['taken_back'] }) {
  const [closed, setClosed] = useState(() => loadFromTab(KEY));
  const announce = useAnnounce();
  const isShown = takenBack !== null && takenBack.at !== closed;
  const text = isShown ? sentence(takenBack) : '';
  useEffect(() => {
    if (text !== '') announce(text);
  }, [text, announce]);
  if (!isShown) return null;

  function close(at: string): void {
    saveToTab(KEY, at);
    setClosed(at);
  }
  return (
    <aside className={styles['banner']} aria-label={styleName(takenBack)}>
      <span>{text}</span>
      <Button look="quiet" onClick={() => close(takenBack.at)}>
        {strings.close}
      </Button>
    </aside>
  );
}

type TakenBack = NonNullable<Me['taken_back']>;

function styleName({ name, version }: TakenBack): string {
  return strings.style.live(name, version);
}

function sentence(takenBack: TakenBack): string {
  return strings.style.takenBack(styleName(takenBack), formatDay(takenBack.at), takenBack.by);
}
