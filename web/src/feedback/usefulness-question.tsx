/** "Was this useful?" about one job. One click answers it, and a comment is optional. */
import { useMutation } from '@tanstack/react-query';
import { useId, useState, type SyntheticEvent } from 'react';
import { useApi } from '../api/api-context';
import { answerQuestion, type Answer } from '../api/answer-question';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { CloseIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './usefulness-question.module.css';

const MAX_COMMENT_LENGTH = 200;
const text = strings.question;

type UsefulnessQuestionProps = {
  jobId: string;
  /** The server has the answer. The person may still add a comment. */
  onAnswered: () => void;
  onClose: () => void;
};

export function UsefulnessQuestion({ jobId, onAnswered, onClose }: UsefulnessQuestionProps) {
  const api = useApi();
  const announce = useAnnounce();
  const id = useId();
  const [useful, setUseful] = useState<boolean | null>(null);
  const [comment, setComment] = useState('');
  const sending = useMutation({
    mutationFn: (answer: Answer) => answerQuestion(api, jobId, answer),
    networkMode: 'always', // offline it fails at once, and the page says so
    onError: () => announce(text.failed),
  });

  /** `onSuccess` is called even if the question moves to another run meanwhile, which callbacks of `mutate` are not. */
  function send(answer: Answer, onSuccess: () => void): void {
    sending.mutateAsync(answer).then(onSuccess, () => undefined);
  }
  function sendAnswer(isUseful: boolean): void {
    const onSuccess = () => {
      setUseful(isUseful);
      announce(text.thanks);
      onAnswered();
    };
    send({ useful: isUseful, comment: null }, onSuccess);
  }
  function sendComment(event: SyntheticEvent): void {
    event.preventDefault();
    const onSuccess = () => {
      announce(text.thanks);
      onClose();
    };
    send({ useful, comment: comment.trim() || null }, onSuccess);
  }
  function close(): void {
    // Closing is an answer as well. The question disappears at once, without waiting for the server.
    if (useful === null && !sending.isPending) sending.mutate({ useful: null, comment: null });
    onClose();
  }

  return (
    <section className={styles['question']} aria-labelledby={`${id}-title`}>
      <div className={styles['top']}>
        <p id={`${id}-title`} className={styles['title']}>
          {useful === null ? text.title : text.thanks}
        </p>
        <button type="button" className={styles['close']} aria-label={text.close} onClick={close}>
          <CloseIcon />
        </button>
      </div>
      {useful === null ? (
        <div className={styles['answers']}>
          <Button isUnavailable={sending.isPending} onClick={() => sendAnswer(true)}>
            {text.useful}
          </Button>
          <Button isUnavailable={sending.isPending} onClick={() => sendAnswer(false)}>
            {text.notYet}
          </Button>
        </div>
      ) : (
        <form onSubmit={sendComment}>
          <label htmlFor={`${id}-comment`}>{useful ? text.whatHelped : text.whatIsMissing}</label>
          <div className={styles['answers']}>
            <input
              ref={focus}
              id={`${id}-comment`}
              className={styles['comment']}
              maxLength={MAX_COMMENT_LENGTH}
              value={comment}
              onChange={(event) => setComment(event.target.value)}
            />
            <Button onClick={sendComment} isUnavailable={sending.isPending}>
              {text.send}
            </Button>
          </div>
        </form>
      )}
      {sending.isError && <p className={styles['problem']}>{text.failed}</p>}
    </section>
  );
}

/** Moves the focus to the comment, because the button that had it is gone. */
function focus(input: HTMLInputElement | null): void {
  input?.focus({ preventScroll: true });
}
