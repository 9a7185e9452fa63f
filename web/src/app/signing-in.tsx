/** What the page shows during the sign-in: that it is under way, and that the typed prompt is kept. */
import { loadDraft } from '../composer/use-draft';
import { ProgressBar } from '../ui/progress-bar';
import { strings } from '../ui/strings';
import { Header } from './header';
import styles from './notice-page.module.css';

export function SigningIn() {
  const text = strings.signIn.busy;
  const draft = loadDraft()?.text ?? '';
  return (
    <>
      <Header />
      <main className={styles['notice']}>
        <h1 className={styles['title']}>
          <span role="status">{text}</span>
        </h1>
        <ProgressBar label={text} percent={null} valueText={text} />
        {draft !== '' && (
          <>
            <p className={styles['request']} dir="auto">
              {draft}
            </p>
            <p className={styles['detail']}>{strings.signIn.promptKept}</p>
          </>
        )}
      </main>
    </>
  );
}
