/** The three answers to a card, and the reasons. */
import { useId } from 'react';
import type { Answer, Reason } from '../api/get-review';
import { Button } from '../ui/button';
import { ANSWERS, isReasonAvailable, REASONS, type Draft } from './answers';
import styles from './answer-panel.module.css';
import { reviewStrings } from './review-strings';

type AnswerPanelProps = {
  draft: Draft;
  isUnavailable: boolean;
  onAnswer: (answer: Answer) => void;
  onToggle: (reason: Reason) => void;
};

export function AnswerPanel({ draft, isUnavailable, onAnswer, onToggle }: AnswerPanelProps) {
  const text = reviewStrings.card;
  const [question, why] = [useId(), useId()];
  return (
    <>
      <div role="group" aria-labelledby={question} className={styles['question']}>
        <h2 id={question}>{text.question}</h2>
        <div className={styles['answers']}>
          {ANSWERS.map((answer, index) => (
            <Button
              key={answer}
              aria-pressed={draft.answer === answer}
              aria-keyshortcuts={String(index + 1)}
              isUnavailable={isUnavailable}
              onClick={() => onAnswer(answer)}
            >
              <kbd aria-hidden="true">{index + 1}</kbd>
              {reviewStrings.answers[answer]}
            </Button>
          ))}
        </div>
      </div>
      <div role="group" aria-labelledby={why} className={styles['reasons']}>
        <h2 id={why}>{draft.answer === 'as_is' ? text.reasonsAsIs : text.reasons}</h2>
        <div className={styles['chips']}>
          {REASONS.map((reason) => (
            <button
              key={reason}
              type="button"
              className={styles['chip']}
              aria-pressed={draft.reasons.includes(reason)}
              aria-disabled={!isReasonAvailable(draft.answer, reason) || undefined}
              onClick={() => onToggle(reason)}
            >
              {reviewStrings.reasons[reason]}
            </button>
          ))}
        </div>
      </div>
    </>
  );
}
