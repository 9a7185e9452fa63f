/** Saves several pictures of a job as one zip. If one picture can't be loaded, no zip is saved: a zip is complete. */
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import type { Job } from '../api/get-job';
import { ApiProblem, isExpired } from '../api/problem';
import { useLoadImage } from '../api/use-image';
import { strings } from '../ui/strings';
import { saveFile } from './save-file';
import { savingErrorText } from './saving-error';
import { zipPictures } from './zip-pictures';

/** Picture number `index` of `total` is being loaded, and `bytes` have been loaded in all. */
type Progress = { index: number; total: number; bytes: number };

class PictureNotLoaded extends Error {
  constructor(
    readonly n: number,
    override readonly cause: unknown,
  ) {
    super(`Picture ${n} could not be loaded`, { cause });
  }
}

type DownloadAll = {
  /** Saves the pictures with these numbers (1–4). */
  start: (numbers: number[]) => void;
  /** Null while nothing is being saved. */
  progress: Progress | null;
  /** The sentence about the latest error, or null. */
  errorText: string | null;
};

export function useDownloadAll(job: Job, onSaved: () => void, onExpired: () => void): DownloadAll {
  const loadImage = useLoadImage();
  const unmounting = useUnmountController();
  const [progress, setProgress] = useState<Progress | null>(null);

  async function download(numbers: number[]): Promise<void> {
    const signal = unmounting.current?.signal;
    const files: File[] = [];
    for (const n of numbers) {
      let bytes = files.reduce((sum, { size }) => sum + size, 0);
      const onBytes = (count: number) => {
        bytes += count;
        setProgress({ index: files.length + 1, total: numbers.length, bytes });
      };
      onBytes(0);
      const file = await loadImage(job.images[n - 1] ?? '', { signal, onBytes }).catch((error: unknown) => {
        throw new PictureNotLoaded(n, error);
      });
      files.push(file);
    }
    const zip = await zipPictures(files, new Date(job.completed_at ?? job.created_at));
    signal?.throwIfAborted();
    saveFile(zip);
  }

  const { mutate, error, isPending } = useMutation({
    mutationFn: download,
    networkMode: 'always',
    onSuccess: onSaved,
    onError: (reason) => {
      if (reason instanceof PictureNotLoaded && isExpired(reason.cause)) onExpired();
    },
    onSettled: () => setProgress(null),
  });
  return { start: mutate, progress: isPending ? progress : null, errorText: error && errorTextOf(error) };
}

function errorTextOf(error: Error): string {
  if (!(error instanceof PictureNotLoaded)) return savingErrorText(error);
  const sentence = savingErrorText(error.cause);
  const isAboutOnePicture = error.cause instanceof ApiProblem && !isExpired(error.cause);
  return isAboutOnePicture ? strings.saving.notThis(error.n, sentence) : sentence;
}

/** Aborts when the component unmounts. After that nothing is loaded, and nothing is saved. */
function useUnmountController() {
  const controller = useRef<AbortController>(null);
  useEffect(() => {
    const current = new AbortController();
    controller.current = current;
    return () => current.abort();
  }, []);
  return controller;
}
