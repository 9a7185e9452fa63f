/** The main page: the composer, and below it the runs of this tab, newest first. It puts the features together. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import { useEffect, useRef } from 'react';
import type { Me } from '../api/get-me';
import { useIsOnline } from '../api/use-is-online';
import { Composer } from '../composer/composer';
import { EmptyState } from '../composer/empty-state';
import { useDraft } from '../composer/use-draft';
import { useWarmUp } from '../composer/use-warm-up';
import { LimitsBefore, LimitsNote } from '../limits/limits-note';
import { useKnown } from '../limits/use-known';
import { NotificationOffer } from '../feedback/notification-offer';
import { notify } from '../feedback/notifications';
import { UsefulnessQuestion } from '../feedback/usefulness-question';
import { useUsefulnessQuestion } from '../feedback/use-usefulness-question';
import { closeEnlarged, useEnlargedRun } from '../lightbox/enlarged';
import type { RunActions } from '../runs/run-actions';
import { RunCard } from '../runs/run-card';
import type { LiveRun } from '../runs/run-view';
import { usePageTitle } from '../runs/use-page-title';
import { useRunAnnouncements } from '../runs/use-run-announcements';
import { useRuns } from '../runs/use-runs';
import { useLoadAhead } from '../saving/use-load-ahead';
import { loadFromTab, saveToTab } from '../tab-storage';
import { classes } from '../ui/classes';
import { strings } from '../ui/strings';
import { useFocusFallback } from '../ui/use-focus-fallback';
import { DraftLimits } from './draft-limits';
import styles from './generate-page.module.css';

/** Whether this tab has asked for a GPU at the sign-in. */
const WARMED = 'warmed';

type GeneratePageProps = { accountId: string; me: Me; retentionHours: number };

export function GeneratePage({ accountId, me, retentionHours }: GeneratePageProps) {
  const draft = useDraft(accountId);
  const warmUp = useWarmUp();
  useEffect(() => {
    if (loadFromTab(WARMED) === true) return; // a refresh is no reason
    saveToTab(WARMED, true);
    warmUp();
  }, [warmUp]);
  const known = useKnown(me.style);
  const examples = me.style?.examples ?? [];
  const isOnline = useIsOnline();
  const { runs, justStarted, start, ...runActions } = useRuns(accountId);
  const question = useUsefulnessQuestion(accountId, completeJobIds(runs));
  useLoadAhead(runs.flatMap(({ view }) => (view.kind === 'complete' ? view.job.images : [])));
  usePageTitle(runs);
  useRunAnnouncements(runs, (text, key) => notify(accountId, text, key));

  const main = useRef<HTMLElement>(null);
  const input = useRef<HTMLTextAreaElement>(null);
  useFocusFallback(main, ({ card }) => firstHeading(card?.isConnected ? card : main.current) ?? input.current);
  const isEmpty = runs.length === 0;
  // What the tab's history says may be gone: the pictures were deleted, or the run was removed.
  const enlarged = useEnlargedRun();
  const hasEnlarged = runs.some(({ run, view }) => run.key === enlarged && 'job' in view);
  useEffect(() => {
    if (enlarged !== null && !hasEnlarged) closeEnlarged();
  }, [enlarged, hasEnlarged]);
  useEffect(() => {
    if (isEmpty) input.current?.focus();
  }, [isEmpty]);

  // Scrolls to the new run. The focus stays where it was.
  const startAndShow: RunActions['start'] = (prompt, replaced) => {
    start(prompt, replaced);
    window.scrollTo({ top: 0 });
  };
  const changeDraft = (text: string) => {
    draft.set(text);
    warmUp();
  };
  const editPrompt = (prompt: string) => {
    changeDraft(prompt);
    input.current?.focus();
  };
  const canStart = (prompt: string) => isOnline && prompt !== justStarted;
  const actions: RunActions = { ...runActions, canStart, start: startAndShow, editPrompt };
  const usualDuration = usualDurationText(me);
  // A person who has seen a run end knows whether a notification would help.
  const hasWaited = runs.some(({ view }) => view.kind === 'complete' || view.kind === 'failed');

  return (
    <main ref={main} className={classes(styles['page'], !isEmpty && styles['withRuns'])}>
      <VisuallyHidden asChild>
        <h1>{strings.product}</h1>
      </VisuallyHidden>
      <Composer
        draft={draft}
        onDraftChange={changeDraft}
        onGenerate={startAndShow}
        justStarted={justStarted}
        isCompact={!isEmpty}
        inputRef={input}
      >
        {known !== null && (
          <DraftLimits
            draft={draft}
            known={known}
            examples={examples}
            saidAbout={runs[0]?.run.prompt}
            onTry={editPrompt}
          />
        )}
        {known !== null && isEmpty && <LimitsBefore known={known} />}
      </Composer>
      {isEmpty ? (
        <EmptyState me={me} usualDuration={usualDuration} retentionHours={retentionHours} onExample={editPrompt} />
      ) : (
        <section className={styles['list']} aria-label={strings.run.list}>
          {runs.map((live) => (
            <RunCard
              key={live.run.key}
              live={live}
              actions={actions}
              onSaved={question.onSaved}
              retentionHours={retentionHours}
              usualDuration={usualDuration}
              limits={
                known !== null && (
                  <LimitsNote known={known} prompt={live.run.prompt} examples={examples} onTry={editPrompt} />
                )
              }
              notificationOffer={hasWaited && <NotificationOffer accountId={accountId} />}
              question={
                question.jobId !== null && question.jobId === live.run.jobId ? (
                  <UsefulnessQuestion
                    jobId={question.jobId}
                    onAnswered={question.onAnswered}
                    onClose={question.close}
                  />
                ) : null
              }
            />
          ))}
        </section>
      )}
    </main>
  );
}

function completeJobIds(runs: LiveRun[]): string[] {
  return runs.flatMap(({ view }) => (view.kind === 'complete' ? [view.job.id] : []));
}

/** Measured by the service; empty until it has measured a run. */
function usualDurationText({ usual_seconds }: Me): string {
  return usual_seconds === null ? '' : strings.empty.usually(usual_seconds.typical, usual_seconds.slow);
}

/** The heading of the first card in an element. It says the prompt, so it is a good place for the focus. */
function firstHeading(element: HTMLElement | null): HTMLElement | null {
  return element?.querySelector<HTMLElement>('h2[tabindex]') ?? null;
}
