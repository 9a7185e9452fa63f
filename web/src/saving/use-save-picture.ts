/** The two ways to save one picture, download and copy, for the buttons and keys that offer them. */
import { useEffect, useState } from 'react';
import { isExpired } from '../api/problem';
import { useLoadImage } from '../api/use-image';
import { useAnnounce } from '../ui/announcer';
import { strings } from '../ui/strings';
import { useCopy } from '../ui/use-copy';
import { copyPicture, CopyRefused } from './copy-picture';
import { savingErrorText } from './saving-error';
import { useDownload } from './use-download';

export type SavePicture = {
  download: () => void;
  isDownloading: boolean;
  copy: () => void;
  /** True for two seconds after a copy. */
  isCopied: boolean;
  /** The sentence about the latest error, or null. */
  errorText: string | null;
  dismissError: () => void;
};

/** For the picture at `path`. When `path` changes, an error about the previous picture is no longer returned. */
export function useSavePicture(path: string, onSaved: () => void, onExpired: () => void): SavePicture {
  const loadImage = useLoadImage();
  const downloading = useDownload(onSaved, onExpired);
  const copying = useCopy();
  const [latest, setLatest] = useState<'download' | 'copy'>('download');

  const isAboutThis = downloading.variables === path;
  const copyError = copying.failed?.what === path ? copying.failed.error : null;
  const error = latest === 'download' ? isAboutThis && downloading.error : copyError;
  const errorText = error ? errorTextOf(error) : null;
  const announce = useAnnounce();
  useEffect(() => {
    if (errorText !== null) announce(errorText);
  }, [errorText, announce]);

  function download(): void {
    if (downloading.isPending) return;
    setLatest('download');
    downloading.mutate(path);
  }

  function copy(): void {
    setLatest('copy');
    copying.start(path, async () => {
      await copyPicture(() => loadImage(path)).catch((reason: unknown) => {
        if (isExpired(reason)) onExpired();
        throw reason;
      });
      onSaved();
    });
  }

  function dismissError(): void {
    downloading.reset();
    copying.reset();
  }

  return {
    download,
    isDownloading: isAboutThis && downloading.isPending,
    copy,
    isCopied: copying.copied === path,
    errorText,
    dismissError,
  };
}

function errorTextOf(error: unknown): string {
  return error instanceof CopyRefused ? strings.picture.copyRefused : savingErrorText(error);
}
