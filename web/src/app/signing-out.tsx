/** What the page shows during the sign-out. It shows nothing of the person any more. */
import { strings } from '../ui/strings';
import { Header } from './header';
import styles from './notice-page.module.css';

export function SigningOut() {
  return (
    <>
      <Header />
      <main className={styles['notice']}>
        <h1 className={styles['title']}>{strings.signIn.leaving}</h1>
      </main>
    </>
  );
}
