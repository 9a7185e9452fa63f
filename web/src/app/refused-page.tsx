/** For a signed-in person who may not generate: the reason, and how to get access. It has no composer. */
import type { Session } from '../auth/session';
import { Button } from '../ui/button';
import { CopyText } from '../ui/copy-text';
import { strings } from '../ui/strings';
import { Header } from './header';
import styles from './notice-page.module.css';

type RefusedPageProps = {
  session: Session;
  refusal: { code: string; title: string; detail: string };
  onSignOut: () => void;
};

export function RefusedPage({ session, refusal, onSignOut }: RefusedPageProps) {
  const { username } = session.account;
  const text = strings.refused;
  const remedy = text.remedies[refusal.code];
  const request = [text.request(username, refusal.title, refusal.code), remedy].filter(Boolean).join(' ');
  return (
    <>
      <Header account={session.account} onSignOut={onSignOut} />
      <main className={styles['notice']}>
        <h1 className={styles['title']}>{refusal.title}</h1>
        <p>{refusal.detail}</p>
        <p className={styles['detail']}>{text.who(username)}</p>
        <p className={styles['ask']}>{text.askFor}</p>
        <p className={styles['request']}>{request}</p>
        <div className={styles['actions']}>
          <CopyText look="primary" text={request} label={text.copy} />
          <Button onClick={session.useAnotherAccount}>{text.otherAccount}</Button>
        </div>
        {refusal.code === 'not_reviewer' && <a href="/">{strings.product}</a>}
      </main>
    </>
  );
}
