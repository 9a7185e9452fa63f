/** While the sign-in is under way: the page says so, and that what was typed is still there. */
import { recallDraft } from '../generate/use-draft';
import { strings } from '../ui/strings';
import { Header } from './header';
import styles from './notice-page.module.css';

export function SigningIn({ text = strings.signIn.busy }: { text?: string }) {
  return (
    <>
      <Header />
      <main className={styles['notice']} aria-busy="true">
        <p role="status">{text}</p>
        {recallDraft() !== '' && <p className={styles['detail']}>{strings.signIn.promptKept}</p>}
      </main>
    </>
  );
}
