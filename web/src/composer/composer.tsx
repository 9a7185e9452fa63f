/** The field for the prompt, and the Generate button. If the button is off, the composer says why. */
import { useEffect, useId, useLayoutEffect, useState, type KeyboardEvent, type ReactNode, type RefObject } from 'react';
import { useIsOnline } from '../api/use-is-online';
import { useAnnounce } from '../ui/announcer';
import { Button, firstClick } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import styles from './composer.module.css';
import { checkPrompt, MAX_CODE_POINTS, type CheckedPrompt } from './check-prompt';
import { useDraftText, type Draft } from './use-draft';

/** From this length on, the composer shows a counter. */
const COUNTED_FROM = 400;
/** How many characters are left when a screen reader hears about it. */
const ANNOUNCED_LEFT = [100, 50, 10];
/** Of the field, above and below together. */
const BORDERS_PX = 2;

type ComposerProps = {
  draft: Draft;
  onDraftChange: (text: string) => void;
  onGenerate: (prompt: string) => void;
  /** The prompt of the run that was started a moment ago. A second press for it is a double press. */
  justStarted: string | null;
  /** The page shows runs, so the composer takes less room where it stands above or below them. */
  isCompact: boolean;
  inputRef: RefObject<HTMLTextAreaElement | null>;
  /** Notes about the prompt, below the button. */
  children: ReactNode;
};

export function Composer(props: ComposerProps) {
  const { draft, onDraftChange, onGenerate, justStarted, isCompact, inputRef, children } = props;
  const id = useId();
  const isOnline = useIsOnline();
  const text = useDraftText(draft);
  const checked = checkPrompt(text);
  const isSent = checked.text === justStarted;
  const reason = reasonToWait(checked, isOnline, isSent);
  const isCounted = checked.length >= COUNTED_FROM;
  const [isExpanded, setIsExpanded] = useState(false);
  useContentHeight(inputRef, text, isExpanded);
  useCountAnnouncement(checked.length);

  function submit(): void {
    if (reason !== null) return;
    setIsExpanded(false);
    onGenerate(checked.text);
  }

  function onKeyDown(event: KeyboardEvent): void {
    // While an input method is composing, Enter belongs to it. Safari says so only by the old code.
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- nothing else tells
    const isComposing = event.nativeEvent.isComposing || event.keyCode === 229;
    if (event.key !== 'Enter' || event.shiftKey || event.altKey || isComposing) return;
    event.preventDefault();
    if (!event.repeat) submit(); // a key that is held down is one press
  }

  return (
    <section className={classes(styles['composer'], isCompact && styles['compact'])}>
      <label className={styles['label']} htmlFor={`${id}-prompt`}>
        {strings.composer.label}
      </label>
      <div className={classes(styles['field'], isCounted && styles['counted'])}>
        <textarea
          ref={inputRef}
          id={`${id}-prompt`}
          className={classes(styles['input'], isExpanded && styles['open'])}
          dir="auto"
          rows={1}
          enterKeyHint="send"
          value={text}
          placeholder={strings.composer.placeholder}
          aria-describedby={`${id}-reason`}
          aria-invalid={checked.problem === 'prompt_too_long' || checked.problem === 'prompt_invalid'}
          onChange={(event) => {
            setIsExpanded(true);
            onDraftChange(event.target.value);
          }}
          onClick={() => setIsExpanded(true)}
          onBlur={() => setIsExpanded(false)}
          onKeyDown={onKeyDown}
        />
        <span className={styles['more']} aria-hidden="true">
          …
        </span>
        {isCounted && (
          <p className={classes(styles['count'], checked.length > MAX_CODE_POINTS && styles['over'])}>
            {strings.composer.count(checked.length, MAX_CODE_POINTS)}
          </p>
        )}
      </div>
      <p id={`${id}-reason`} className={classes(styles['hint'], isSent && styles['unseen'])}>
        {reason}
      </p>
      <Button
        look="primary"
        isUnavailable={reason !== null}
        aria-describedby={`${id}-reason`}
        aria-keyshortcuts="Control+Enter Meta+Enter"
        onClick={firstClick(submit)}
      >
        {strings.composer.generate}
        <kbd aria-hidden="true" className={styles['keys']}>
          {strings.composer.keys}
        </kbd>
      </Button>
      {children}
    </section>
  );
}

function reasonToWait(checked: CheckedPrompt, isOnline: boolean, isSent: boolean): string | null {
  const { reason } = strings.composer;
  if (isSent) return reason.busy;
  if (!isOnline) return reason.offline;
  switch (checked.problem) {
    case 'prompt_blank':
      return reason.blank;
    case 'prompt_too_long':
      return reason.tooLong(checked.length - MAX_CODE_POINTS);
    case 'prompt_invalid':
      return reason.invalid;
    case null:
      return null;
  }
}

/**
 * Tells the style sheet how high the text is, which decides from it and from the window how high the field is. Marks a
 * field that shows only a part of its text.
 */
function useContentHeight(inputRef: RefObject<HTMLTextAreaElement | null>, text: string, isExpanded: boolean): void {
  useLayoutEffect(() => {
    const input = inputRef.current;
    if (input === null) return undefined;
    const measure = () => {
      input.style.setProperty('--content', '0px');
      input.style.setProperty('--content', `${input.scrollHeight + BORDERS_PX}px`);
      input.toggleAttribute('data-clipped', input.scrollHeight > input.clientHeight);
      if (!isExpanded) input.scrollTop = 0;
    };
    measure();
    window.addEventListener('resize', measure);
    return () => window.removeEventListener('resize', measure);
  }, [inputRef, text, isExpanded]);
}

function useCountAnnouncement(length: number): void {
  const announce = useAnnounce();
  const left = MAX_CODE_POINTS - length;
  const threshold = left < 0 ? -1 : ANNOUNCED_LEFT.findLast((limit) => left <= limit);
  useEffect(() => {
    if (threshold === -1) announce(strings.composer.over);
    else if (threshold !== undefined) announce(strings.composer.left(threshold));
  }, [threshold, announce]);
}
