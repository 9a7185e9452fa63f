/** Loads the review, which few people need, only when somebody opens one: the main page stays as small as it is. */
import { useCallback, useEffect, useState } from 'react';
import type { ReviewPage } from '../review/review-page';
import { Button } from '../ui/button';
import { strings } from '../ui/strings';
import styles from './notice-page.module.css';

type ReviewRoomProps = { reviewId: string; accountId: string };

export function ReviewRoom(props: ReviewRoomProps) {
  const [Page, setPage] = useState<typeof ReviewPage | null>(null);
  const [isLost, setIsLost] = useState(false);
  const load = useCallback(() => {
    import('../review/review-page').then(
      (loaded) => setPage(() => loaded.ReviewPage),
      () => setIsLost(true),
    );
  }, []);
  useEffect(load, [load]);
  if (Page !== null) return <Page {...props} />;
  if (!isLost) return null;
  return (
    <main className={styles['notice']}>
      <h1 className={styles['title']}>{strings.signIn.unreachableTitle}</h1>
      <p className={styles['detail']}>{strings.signIn.unreachableDetail}</p>
      <Button look="primary" onClick={() => window.location.reload()}>
        {strings.retry}
      </Button>
    </main>
  );
}
