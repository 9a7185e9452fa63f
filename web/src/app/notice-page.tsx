/** A page that says what happened and offers one action. */
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import { Header } from './header';
import styles from './notice-page.module.css';

type NoticePageProps = {
  title: string;
  detail: string;
  reference?: string;
  action: string;
  onAction: () => void;
};

export function NoticePage({ title, detail, reference, action, onAction }: NoticePageProps) {
  return (
    <>
      <Header />
      <main className={styles['notice']}>
        <h1 className={styles['title']}>{title}</h1>
        <p className={styles['detail']}>{detail}</p>
        <Button look="primary" onClick={onAction}>
          {action}
        </Button>
        {reference !== undefined && reference !== '' && (
          <p className={styles['reference']}>{strings.problem.reference(reference)}</p>
        )}
      </main>
    </>
  );
}
