/** The two ways to keep one picture, saving and copying, for the buttons and keys that offer them. */
import { useEffect, useState } from 'react';
import { useAnnounce } from '../ui/announcer';
import { strings } from '../ui/strings';
import { copyPicture, CopyRefused } from './copy-picture';
import { isGone, troubleOf } from './save-file';
import { useCopy } from '../ui/use-copy';
import { useDownload } from './use-download';
import { useLoadPicture } from '../api/use-image';

export type Keeping = {
  download: () => void;
  isSaving: boolean;
  copy: () => void;
  /** For two seconds after a copy. */
  isCopied: boolean;
  /** What went wrong the last time, as a sentence. */
  trouble: string | null;
  dismiss: () => void;
};

/** About the picture at `address`; when that changes, what was said about the other one is not shown. */
export function useKeeping(address: string, onKept: () => void, onExpired: () => void): Keeping {
  const load = useLoadPicture();
  const saving = useDownload(onKept, onExpired);
  const copying = useCopy();
  const [latest, setLatest] = useState<'saving' | 'copying'>('saving');

  const isSavingThis = saving.variables === address;
  const failedToCopy = copying.failed?.what === address ? copying.failed.error : null;
  const error = latest === 'saving' ? isSavingThis && saving.error : failedToCopy;
  const trouble = error ? sentence(error) : null;
  const announce = useAnnounce();
  useEffect(() => {
    if (trouble !== null) announce(trouble);
  }, [trouble, announce]);

  function download(): void {
    if (saving.isPending) return;
    setLatest('saving');
    saving.mutate(address);
  }

  function copy(): void {
    setLatest('copying');
    copying.start(address, async () => {
      await copyPicture(() => load(address)).catch((reason: unknown) => {
        if (isGone(reason)) onExpired();
        throw reason;
      });
      onKept();
    });
  }

  function dismiss(): void {
    saving.reset();
    copying.forget();
  }

  return {
    download,
    isSaving: isSavingThis && saving.isPending,
    copy,
    isCopied: copying.copied === address,
    trouble,
    dismiss,
  };
}

function sentence(error: unknown): string {
  return error instanceof CopyRefused ? strings.picture.copyRefused : troubleOf(error);
}
