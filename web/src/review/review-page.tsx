/** A blind review of a style: first the rule, then the cards one by one, then what was on them. */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useApi } from '../api/api-context';
import { getReview, type Review } from '../api/get-review';
import { ApiProblem } from '../api/problem';
import { sendVerdict } from '../api/send-verdict';
import { completeAnswers, countAnswered } from './answers';
import { CardStage } from './card-stage';
import { Finish } from './finish';
import { Intro } from './intro';
import { Reveal } from './reveal';
import styles from './review.module.css';
import { reviewStrings as text } from './review-strings';
import { useAnswers } from './use-answers';
import { useReviewTitle } from './use-review-title';

type ReviewPageProps = { reviewId: string; accountId: string };

export function ReviewPage({ reviewId, accountId }: ReviewPageProps) {
  const api = useApi();
  const { data: review, error } = useQuery({
    queryKey: ['review', reviewId],
    queryFn: ({ signal }) => getReview(api, reviewId, signal),
    staleTime: Infinity,
  });
  return (
    <main className={styles['page']}>
      {review !== undefined ? (
        review.verdict === null ? (
          <Cards review={review} accountId={accountId} />
        ) : (
          <Reveal review={review} verdict={review.verdict} />
        )
      ) : error instanceof ApiProblem ? (
        <>
          <h1 className={styles['title']}>{error.problem.title}</h1>
          <p className={styles['quiet']}>{error.problem.detail}</p>
          <a href="/">{text.back}</a>
        </>
      ) : (
        <p className={styles['quiet']}>{text.loading}</p>
      )}
    </main>
  );
}

function Cards({ review, accountId }: { review: Review; accountId: string }) {
  const api = useApi();
  const queryClient = useQueryClient();
  const count = review.cards.length;
  const [answers, dispatch, forget] = useAnswers(accountId, review.id, count);
  useReviewTitle(answers, count);
  const complete = completeAnswers(answers);
  const sending = useMutation({
    mutationFn: (given: NonNullable<typeof complete>) => sendVerdict(api, review.id, given),
    onSuccess: (verdict) => {
      queryClient.setQueryData<Review>(['review', review.id], { ...review, verdict });
      forget();
      window.scrollTo({ top: 0 });
    },
  });
  if (!answers.isBegun) {
    return <Intro review={review} done={countAnswered(answers)} onBegin={() => dispatch({ kind: 'begin' })} />;
  }
  if (answers.at === count && complete !== null) {
    return (
      <Finish
        answers={complete}
        onOpen={(to) => dispatch({ kind: 'go', to })}
        onUndo={() => dispatch({ kind: 'undo' })}
        onSend={() => sending.mutate(complete)}
        isSending={sending.isPending}
        error={sending.error}
      />
    );
  }
  return <CardStage review={review} answers={answers} dispatch={dispatch} />;
}
