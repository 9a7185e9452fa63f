/** The account menu: who is signed in, the theme, and the sign-out. */
import { useId } from 'react';
import type { Session } from '../auth/session';
import { Button } from '../ui/button';
import { ChevronIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import { THEMES, useTheme } from '../ui/theme';
import styles from './account-menu.module.css';

type AccountMenuProps = {
  account: Session['account'];
  version: string | undefined;
  onSignOut: (() => void) | undefined;
};

/** A native popover: the browser handles Esc, clicks outside and the focus, and no library injects styles. */
export function AccountMenu({ account, version, onSignOut }: AccountMenuProps) {
  return (
    <div className={styles['account']}>
      <button
        type="button"
        className={styles['opener']}
        popoverTarget="account"
        aria-label={strings.account.menu(account.name)}
      >
        <span className={styles['name']}>{account.name}</span>
        <span className={styles['initial']}>{account.name.slice(0, 1)}</span>
        <ChevronIcon />
      </button>
      <div id="account" popover="auto" className={styles['menu']}>
        <p>{account.name}</p>
        <p className={styles['quiet']}>{account.username}</p>
        <ThemeChoice />
        <Button onClick={onSignOut}>{strings.account.signOut}</Button>
        {version !== undefined && <p className={styles['quiet']}>{strings.account.version(version)}</p>}
      </div>
    </div>
  );
}

function ThemeChoice() {
  const id = useId();
  const [chosen, choose] = useTheme();
  return (
    <fieldset className={styles['themes']}>
      <legend className={styles['quiet']}>{strings.account.theme}</legend>
      {THEMES.map((theme) => (
        <label key={theme} className={styles['theme']}>
          <input type="radio" name={id} checked={chosen === theme} onChange={() => choose(theme)} />
          <span>{strings.account.themes[theme]}</span>
        </label>
      ))}
    </fieldset>
  );
}
