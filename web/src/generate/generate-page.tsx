/** The one screen: the composer, and the runs of this tab, newest on top. */
import { VisuallyHidden } from '@radix-ui/react-visually-hidden';
import { useEffect, useRef } from 'react';
import { strings } from '../ui/strings';
import { Composer } from './composer';
import { EmptyState } from './empty-state';
import styles from './generate-page.module.css';
import { RunCard } from './run-card';
import { useAnnouncements } from './use-announcements';
import { useDraft } from './use-draft';
import { usePageTitle } from './use-page-title';
import { useRuns } from './use-runs';
import { useWarm } from './use-warm';

export function GeneratePage({ accountId, retentionDays }: { accountId: string; retentionDays: number }) {
  const [draft, setDraft] = useDraft();
  const { runs, press, ...rest } = useRuns(accountId);
  const warm = useWarm();
  const input = useRef<HTMLTextAreaElement>(null);
  usePageTitle(runs);
  useAnnouncements(runs);

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
    setDraft(text);
    warm();
  };
  const edit = (prompt: string) => {
    write(prompt);
    input.current?.focus();
  };
  const actions = { ...rest, press: pressAndShow, editPrompt: edit, retentionDays };

  return (
    <main className={isEmpty ? undefined : styles['withRuns']}>
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
        <EmptyState retentionDays={retentionDays} onExample={edit} />
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
