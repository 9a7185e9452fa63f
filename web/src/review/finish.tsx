/** After the last card: all answers at a glance, each can still be changed. Then they are sent, once. */
import { useEffect, useRef } from 'react';
import type { CardAnswer } from '../api/get-review';
import { ApiProblem } from '../api/problem';
import { Button, firstClick } from '../ui/button';
import { useShortcuts } from '../ui/use-shortcuts';
import styles from './review.module.css';
import { reviewStrings } from './review-strings';

type FinishProps = {
  answers: CardAnswer[];
  onOpen: (index: number) => void;
  onUndo: () => void;
  onSend: () => void;
  isSending: boolean;
  error: Error | null;
};

export function Finish({ answers, onOpen, onUndo, onSend, isSending, error }: FinishProps) {
  const text = reviewStrings.finish;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  useShortcuts({
    ArrowLeft: () => onOpen(answers.length - 1),
    u: onUndo,
  });
  return (
    <div className={styles['column']}>
      <h1 ref={heading} tabIndex={-1} className={styles['title']}>
        {text.title}
      </h1>
      <p>{text.detail}</p>
      <ol className={styles['overview']}>
        {answers.map(({ answer }, index) => (
          <li key={index}>
            <button type="button" onClick={() => onOpen(index)}>
              <span className={styles['number']}>{index + 1}</span> {reviewStrings.answers[answer]}
            </button>
          </li>
        ))}
      </ol>
      {error !== null && (
        <p role="alert" className={styles['error']}>
          {error instanceof ApiProblem ? `${error.problem.title}. ${error.problem.detail}` : text.failed}
        </p>
      )}
      <Button look="primary" isUnavailable={isSending} onClick={firstClick(onSend)}>
        {isSending ? text.sending : text.send}
      </Button>
    </div>
  );
}
