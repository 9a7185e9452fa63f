/** Where the prompt is written. It says why Generate can't be pressed, and never loses a character. */
import {
  useEffect,
  useId,
  useLayoutEffect,
  useState,
  type KeyboardEvent,
  type RefObject,
} from 'react';
import { useIsOnline } from '../api/use-is-online';
import { useAnnounce } from '../ui/announcer';
import { Button } from '../ui/button';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import styles from './composer.module.css';
import { checkPrompt, MAX_CODE_POINTS, type CheckedPrompt } from './check-prompt';
import { useDraftText, type Draft } from './use-draft';

const COUNT_FROM = 400;
const ANNOUNCE_LEFT_AT = [100, 50, 10];
const TALLEST_PX = 200;

type ComposerProps = {
  draft: Draft;
  /** Somebody writes. */
  onDraft: (text: string) => void;
  onGenerate: (prompt: string) => void;
  isBusy: boolean;
  /** One line, once there is a run to look at. */
  isCollapsed: boolean;
  inputRef: RefObject<HTMLTextAreaElement | null>;
};

export function Composer({ draft, onDraft, onGenerate, isBusy, isCollapsed, inputRef }: ComposerProps) {
  const id = useId();
  const isOnline = useIsOnline();
  const text = useDraftText(draft);
  const checked = checkPrompt(text);
  const reason = reasonAgainst(checked, isOnline, isBusy);
  const isCounted = checked.length >= COUNT_FROM;
  const [isOpen, setIsOpen] = useState(false);
  useHeight(inputRef, text, isCollapsed && !isOpen);
  useCountAnnouncement(checked.length);

  function submit(): void {
    if (reason !== null) return;
    setIsOpen(false);
    onGenerate(checked.text);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!event.repeat) submit();
  }

  return (
    <section className={classes(styles['composer'], isCollapsed && styles['collapsed'])}>
      <label className={styles['label']} htmlFor={`${id}-prompt`}>
        {strings.composer.label}
      </label>
      <div className={classes(styles['field'], isCounted && styles['counted'])}>
        <textarea
          ref={inputRef}
          id={`${id}-prompt`}
          className={classes(styles['input'], isOpen && styles['open'])}
          dir="auto"
          rows={1}
          value={text}
          placeholder={strings.composer.placeholder}
          aria-describedby={`${id}-reason`}
          aria-invalid={checked.problem === 'prompt_too_long' || checked.problem === 'prompt_invalid'}
          onChange={(event) => {
            setIsOpen(true);
            onDraft(event.target.value);
          }}
          onClick={() => setIsOpen(true)}
          onBlur={() => setIsOpen(false)}
          onKeyDown={onKeyDown}
        />
        {isCounted && (
          <p className={classes(styles['count'], checked.length > MAX_CODE_POINTS && styles['over'])}>
            {strings.composer.count(checked.length, MAX_CODE_POINTS)}
          </p>
        )}
      </div>
      <p id={`${id}-reason`} className={classes(styles['hint'], isBusy && styles['unseen'])}>
        {reason}
      </p>
      <Button
        look="primary"
        isUnavailable={reason !== null}
        aria-describedby={`${id}-reason`}
        aria-keyshortcuts="Control+Enter Meta+Enter"
        onClick={submit}
      >
        {strings.composer.generate}
        <kbd aria-hidden="true" className={styles['keys']}>
          {strings.composer.keys(/Mac/.test(navigator.userAgent))}
        </kbd>
      </Button>
    </section>
  );
}

function reasonAgainst(checked: CheckedPrompt, isOnline: boolean, isBusy: boolean): string | null {
  const { reason } = strings.composer;
  if (isBusy) return reason.busy;
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

/** The field is as tall as its text, up to a limit, unless it is closed to one line. */
function useHeight(inputRef: RefObject<HTMLTextAreaElement | null>, text: string, isClosed: boolean): void {
  useLayoutEffect(() => {
    const input = inputRef.current;
    if (input === null) return;
    input.style.height = '';
    if (isClosed) input.scrollTop = 0;
    else input.style.height = `${Math.min(input.scrollHeight + 2, TALLEST_PX)}px`;
  }, [inputRef, text, isClosed]);
}

function useCountAnnouncement(length: number): void {
  const announce = useAnnounce();
  const left = MAX_CODE_POINTS - length;
  const mark = left < 0 ? -1 : ANNOUNCE_LEFT_AT.findLast((limit) => left <= limit);
  useEffect(() => {
    if (mark === -1) announce(strings.composer.over);
    else if (mark !== undefined) announce(strings.composer.left(mark));
  }, [mark, announce]);
}
