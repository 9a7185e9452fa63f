/** The one screen: the composer, and the runs of this tab, newest on top. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import { useEffect, useRef } from 'react';
import type { Me } from '../api/get-me';
import { useIsOnline } from '../api/use-is-online';
import { strings } from '../ui/strings';
import { useKeptFocus } from '../ui/use-focus-fallback';
import { Composer } from '../composer/composer';
import { EmptyState, usually } from '../composer/empty-state';
import styles from './generate-page.module.css';
import { RunCard } from '../runs/run-card';
import { useDraft } from '../composer/use-draft';
import { usePageTitle } from '../runs/use-page-title';
import { useQuestion } from '../feedback/use-usefulness-question';
import { useRunNews } from '../runs/use-run-announcements';
import { useRuns } from '../runs/use-runs';
import { useWarm } from '../composer/use-warm-up';

type GeneratePageProps = { accountId: string; me: Me; retentionHours: number };

export function GeneratePage({ accountId, me, retentionHours }: GeneratePageProps) {
  const draft = useDraft(accountId);
  const { runs, press, ...rest } = useRuns(accountId);
  const warm = useWarm();
  const input = useRef<HTMLTextAreaElement>(null);
  const question = useQuestion(accountId, runs);
  usePageTitle(runs);
  useRunNews(runs, accountId);
  const isOnline = useIsOnline();
  const main = useRef<HTMLElement>(null);
  useKeptFocus(main, ({ card }) => headingOf(card?.isConnected ? card : main.current) ?? input.current);

  const isEmpty = runs.length === 0;
  useEffect(() => {
    if (isEmpty) input.current?.focus();
  }, [isEmpty]);

  // The newest run is what one wants to see next; focus stays where it was.
  const pressAndShow: typeof press = (prompt, replaced) => {
    press(prompt, replaced);
    window.scrollTo({ top: 0 });
  };
  const write = (text: string) => {
    draft.set(text);
    warm();
  };
  const edit = (prompt: string) => {
    write(prompt);
    input.current?.focus();
  };
  const hasWaited = runs.some(({ view }) => view.kind === 'complete' || view.kind === 'failed');
  const actions = {
    ...rest,
    isBusy: rest.isBusy || !isOnline,
    press: pressAndShow,
    editPrompt: edit,
    question,
    retentionHours,
    hasWaited,
    accountId,
    usually: usually(me),
  };

  return (
    <main ref={main} className={isEmpty ? undefined : styles['withRuns']}>
      <VisuallyHidden asChild>
        <h1>{strings.product}</h1>
      </VisuallyHidden>
      <Composer
        draft={draft}
        onDraft={write}
        onGenerate={pressAndShow}
        isBusy={rest.isBusy}
        isCollapsed={!isEmpty}
        inputRef={input}
      />
      {isEmpty ? (
        <EmptyState me={me} retentionHours={retentionHours} onExample={edit} />
      ) : (
        <section aria-label={strings.run.list}>
          {runs.map((live) => (
            <RunCard key={live.run.key} live={live} actions={actions} />
          ))}
        </section>
      )}
    </main>
  );
}

/** The first card's heading within an element; the prompt is what one wants to hear there. */
function headingOf(element: HTMLElement | null): HTMLElement | null {
  return element?.querySelector<HTMLElement>('h2[tabindex]') ?? null;
}
