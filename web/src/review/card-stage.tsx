/** One card: the picture, what was asked for, and the answers. Keys: 1, 2, 3, arrows, U. */
import { useEffect, useRef, type Dispatch } from 'react';
import type { Answer, Review } from '../api/get-review';
import { useImage } from '../api/use-image';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { ProgressBar } from '../ui/progress-bar';
import { useShortcuts } from '../ui/use-shortcuts';
import { AnswerPanel } from './answer-panel';
import { ANSWERS, countAnswered, mayGo, type Action, type Answers } from './answers';
import { CardPicture } from './card-picture';
import styles from './card-stage.module.css';
import { reviewStrings } from './review-strings';

type CardStageProps = { review: Review; answers: Answers; dispatch: Dispatch<Action> };

export function CardStage({ review, answers, dispatch }: CardStageProps) {
  const text = reviewStrings.card;
  const { cards } = review;
  const count = cards.length;
  const index = Math.min(answers.at, count - 1);
  const card = cards[index];
  const draft = answers.cards[index];
  if (card === undefined || draft === undefined) throw new Error('a review without this card');
  const image = useImage(card.picture, ignore);
  useImage(cards[index + 1]?.picture ?? card.picture, ignore); // the next picture is there when it is wanted
  const isShown = image.file !== undefined;
  const announce = useAnnounce();

  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) window.scrollTo({ top: 0 });
    isFirst.current = false;
    announce(text.announce(card.n, count, card.prompt));
  }, [announce, card, count, text]);

  function answer(given: Answer): false | undefined {
    if (!isShown) return false; // nobody judges what they haven't seen
    dispatch({ kind: 'answer', answer: given });
    announce(text.announceAnswer(reviewStrings.answers[given]));
    return undefined;
  }
  function go(to: number): false | undefined {
    if (!mayGo(answers, to)) return false;
    dispatch({ kind: 'go', to });
    return undefined;
  }
  function undo(): false | undefined {
    const last = answers.answered.at(-1);
    if (last === undefined) return false;
    dispatch({ kind: 'undo' });
    announce(text.takenBack(last + 1));
    return undefined;
  }
  const [asIs, smallFix, no] = ANSWERS;
  useShortcuts({
    ...(asIs && { '1': () => answer(asIs) }),
    ...(smallFix && { '2': () => answer(smallFix) }),
    ...(no && { '3': () => answer(no) }),
    ArrowRight: () => go(index + 1),
    ArrowLeft: () => go(index - 1),
    u: undo,
  });

  const done = countAnswered(answers);
  return (
    <div className={styles['stage']}>
      <CardPicture image={image} n={card.n} count={count} />
      <div className={styles['side']}>
        <div className={styles['position']}>
          <h1>{text.position(card.n, count)}</h1>
          <ProgressBar
            label={text.progress}
            percent={(100 * done) / count}
            valueText={text.progressText(done, count)}
          />
        </div>
        <div className={styles['asked']}>
          <h2>{text.askedFor}</h2>
          <p>{card.prompt}</p>
        </div>
        <AnswerPanel
          draft={draft}
          isUnavailable={!isShown}
          onAnswer={answer}
          onToggle={(reason) => dispatch({ kind: 'toggle', reason })}
        />
        <div className={styles['moves']}>
          <Button isUnavailable={!mayGo(answers, index - 1)} onClick={() => go(index - 1)}>
            {text.previous}
          </Button>
          <Button aria-keyshortcuts="U" isUnavailable={answers.answered.length === 0} onClick={undo}>
            {text.undo}
          </Button>
          <Button look="primary" isUnavailable={!mayGo(answers, index + 1)} onClick={() => go(index + 1)}>
            {text.next}
          </Button>
        </div>
      </div>
    </div>
  );
}

function ignore(): void {
  // Pictures of a review don't expire.
}
