/** The top of every page: the product, the style that is live, and the account. */
import type { Style } from '../api/get-me';
import type { Session } from '../auth/session';
import { Button } from '../ui/button';
import { ChevronIcon, Mark } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './header.module.css';

type HeaderProps = {
  style?: Style | null;
  account?: Session['account'];
  version?: string;
  onSignOut?: () => void;
};

export function Header({ style, account, version, onSignOut }: HeaderProps) {
  return (
    <header className={styles['header']}>
      <div className={styles['inner']}>
        <span className={styles['wordmark']}>
          <Mark />
          {strings.product}
        </span>
        {style && (
          <p className={styles['style']}>
            <span className={styles['name']}>{strings.style.live(style.name, style.version)}</span>
            {!style.reviewed && (
              <span className={styles['note']} title={strings.style.notReviewedWhy}>
                {strings.style.notReviewed}
              </span>
            )}
          </p>
        )}
        {account && <AccountMenu account={account} version={version} onSignOut={onSignOut} />}
      </div>
    </header>
  );
}

type AccountMenuProps = Pick<HeaderProps, 'version' | 'onSignOut'> & { account: Session['account'] };

/** A native popover: Esc, a click outside and focus are the browser's work, and nothing injects styles. */
function AccountMenu({ account, version, onSignOut }: AccountMenuProps) {
  return (
    <div className={styles['account']}>
      <button
        type="button"
        className={styles['accountButton']}
        popoverTarget="account"
        aria-label={strings.account.menu(account.name)}
      >
        <span className={styles['accountName']}>{account.name}</span>
        <span className={styles['initial']}>{account.name.slice(0, 1)}</span>
        <ChevronIcon />
      </button>
      <div id="account" popover="auto" className={styles['menu']}>
        <p>{account.name}</p>
        <p className={styles['username']}>{account.username}</p>
        <Button onClick={onSignOut}>{strings.account.signOut}</Button>
        {version !== undefined && <p className={styles['version']}>{strings.account.version(version)}</p>}
      </div>
    </div>
  );
}
