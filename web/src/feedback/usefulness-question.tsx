/** One question about a run, asked rarely, answered with one press; a line of words is welcome and never required. */
import { useMutation } from '@tanstack/react-query';
import { useId, useState, type SyntheticEvent } from 'react';
import { useApi } from '../api/api-context';
import { answerQuestion, type Verdict } from '../api/usefulness';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { CloseIcon } from '../ui/icons';
import { strings } from '../ui/strings';
import styles from './usefulness-question.module.css';

const LONGEST_COMMENT = 200;
const text = strings.question;

type UsefulnessProps = {
  jobId: string;
  /** The answer has arrived; a line of words may still follow. */
  onAnswered: () => void;
  onClose: () => void;
};

export function Usefulness({ jobId, onAnswered, onClose }: UsefulnessProps) {
  const api = useApi();
  const announce = useAnnounce();
  const id = useId();
  const [useful, setUseful] = useState<boolean | null>(null);
  const [comment, setComment] = useState('');
  const sending = useMutation({
    mutationFn: (verdict: Verdict) => answerQuestion(api, jobId, verdict),
    networkMode: 'always', // offline it fails at once, and says so
    onError: () => announce(text.failed),
  });

  function choose(verdict: boolean): void {
    sending.mutate({ useful: verdict, comment: null }, { onSuccess: () => answered(verdict) });
  }
  function answered(verdict: boolean): void {
    setUseful(verdict);
    announce(text.thanks);
    onAnswered();
  }
  function send(event: SyntheticEvent): void {
    event.preventDefault();
    sending.mutate({ useful, comment: comment.trim() || null }, { onSuccess: thank });
  }
  function thank(): void {
    announce(text.thanks);
    onClose();
  }
  function close(): void {
    // Closing is an answer, too; nobody is made to wait for it.
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
          <Button isUnavailable={sending.isPending} onClick={() => choose(true)}>
            {text.useful}
          </Button>
          <Button isUnavailable={sending.isPending} onClick={() => choose(false)}>
            {text.notYet}
          </Button>
        </div>
      ) : (
        <form onSubmit={send}>
          <label htmlFor={`${id}-comment`}>{useful ? text.whatHelped : text.whatIsMissing}</label>
          <div className={styles['answers']}>
            <input
              ref={takeFocus}
              id={`${id}-comment`}
              className={styles['comment']}
              maxLength={LONGEST_COMMENT}
              value={comment}
              onChange={(event) => setComment(event.target.value)}
            />
            <Button onClick={send} isUnavailable={sending.isPending}>
              {text.send}
            </Button>
          </div>
        </form>
      )}
      {sending.isError && (
        <p className={styles['problem']}>{text.failed}</p>
      )}
    </section>
  );
}

/** The button that was pressed is gone. */
function takeFocus(input: HTMLInputElement | null): void {
  input?.focus({ preventScroll: true });
}
