/** Says that most of the month's budget is spent, or all of it and when it opens again. Amounts are the operator's. */
import { useEffect, useState } from 'react';
import type { Me } from '../api/get-me';
import { loadFromTab, saveToTab } from '../tab-storage';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { formatDay } from '../ui/dates';
import { strings } from '../ui/strings';
import styles from './connection-banner.module.css';

const KEY = 'budget-notice';

export function BudgetNotice({ budget }: { budget: Me['budget'] }) {
  const [closed, setClosed] = useState(() => loadFromTab(KEY));
  const announce = useAnnounce();
  const text = budget === null ? '' : sentence(budget);
  const isShown = text !== '' && closed !== text;
  useEffect(() => {
    if (isShown) announce(text);
  }, [isShown, text, announce]);
  if (!isShown) return null;

  function close(): void {
    saveToTab(KEY, text);
    setClosed(text);
  }
  return (
    <aside className={styles['banner']} aria-label={strings.budget.name}>
      <span>{text}</span>
      {budget?.state === 'low' && (
        <Button look="quiet" onClick={close}>
          {strings.close}
        </Button>
      )}
    </aside>
  );
}

function sentence({ state, opens_at: opensAt }: NonNullable<Me['budget']>): string {
  if (state === 'spent') return strings.budget.spent(formatDay(opensAt));
  return state === 'low' ? strings.budget.low : '';
}
