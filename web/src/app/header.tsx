/** The top of every page: the product's name, the current style, and the account. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import type { Style } from '../api/get-me';
import type { Session } from '../auth/session';
import { formatDay } from '../ui/dates';
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
        {style && <LiveStyle style={style} />}
        {account && <AccountMenu account={account} version={version} onSignOut={onSignOut} />}
      </div>
    </header>
  );
}

function LiveStyle({ style }: { style: Style }) {
  const { note, why } = signOff(style);
  return (
    <p className={styles['style']}>
      <span className={styles['name']}>{strings.style.live(style.name, style.version)}</span>
      <span className={styles['note']} title={why ?? note}>
        {note}
        {why !== null && <VisuallyHidden>. {why}</VisuallyHidden>}
      </span>
    </p>
  );
}

/** What a designer said of the style, in a few words; `why` explains what nobody has reviewed. */
function signOff({ reviewed, signed_by: by, signed_at: at }: Style): { note: string; why: string | null } {
  const text = strings.style;
  if (by === null || at === null) return { note: text.notReviewed, why: text.notReviewedWhy };
  return { note: text.signed(reviewed, formatDay(at), by), why: null };
}
