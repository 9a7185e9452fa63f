/** The top of every page: the product's name, the current style, and the account. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import type { Style } from '../api/get-me';
import type { Session } from '../auth/session';
import { Mark } from '../ui/icons';
import { strings } from '../ui/strings';
import { AccountMenu } from './account-menu';
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
            <span className={styles['note']} title={style.reviewed ? undefined : strings.style.notReviewedWhy}>
              {style.reviewed ? strings.style.approved : strings.style.notReviewed}
              {!style.reviewed && <VisuallyHidden>. {strings.style.notReviewedWhy}</VisuallyHidden>}
            </span>
          </p>
        )}
        {account && <AccountMenu account={account} version={version} onSignOut={onSignOut} />}
      </div>
    </header>
  );
}
