/** Saves several pictures of one run as one zip. A picture that can't be had stops it: a zip is never short of one. */
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import type { Job } from '../api/get-job';
import { ApiProblem } from '../api/problem';
import { strings } from '../ui/strings';
import { isGone, save, troubleOf } from './save-file';
import { useLoadPicture } from '../api/use-image';
import { zipOf } from './zip-pictures';

/** Which of how many pictures is being fetched, and the bytes there are so far. */
type Progress = { place: number; total: number; bytes: number };

class PictureMissing extends Error {
  constructor(
    readonly n: number,
    override readonly cause: unknown,
  ) {
    super(`Picture ${n} couldn't be had`, { cause });
  }
}

type DownloadAll = {
  /** Starts with the pictures of these numbers. */
  start: (numbers: number[]) => void;
  /** Null while nothing is being saved. */
  progress: Progress | null;
  /** What went wrong the last time, as a sentence. */
  trouble: string | null;
};

export function useDownloadAll(job: Job, onSaved: () => void, onExpired: () => void): DownloadAll {
  const load = useLoadPicture();
  const leaving = useLeaving();
  const [progress, setProgress] = useState<Progress | null>(null);

  async function download(numbers: number[]): Promise<void> {
    const signal = leaving.current?.signal;
    const files: File[] = [];
    for (const n of numbers) {
      const before = files.reduce((sum, { size }) => sum + size, 0);
      let bytes = before;
      const onBytes = (count: number) => {
        bytes += count;
        setProgress({ place: files.length + 1, total: numbers.length, bytes });
      };
      onBytes(0);
      const file = await load(job.images[n - 1] ?? '', { signal, onBytes }).catch((error: unknown) => {
        throw new PictureMissing(n, error);
      });
      files.push(file);
    }
    const zip = await zipOf(files, new Date(job.completed_at ?? job.created_at));
    signal?.throwIfAborted();
    save(zip);
  }

  const { mutate, error, isPending } = useMutation({
    mutationFn: download,
    networkMode: 'always',
    onSuccess: onSaved,
    onError: (reason) => {
      if (reason instanceof PictureMissing && isGone(reason.cause)) onExpired();
    },
    onSettled: () => setProgress(null),
  });
  return { start: mutate, progress: isPending ? progress : null, trouble: error && troubleWith(error) };
}

function troubleWith(error: Error): string {
  if (!(error instanceof PictureMissing)) return troubleOf(error);
  const sentence = troubleOf(error.cause);
  const isAboutOne = error.cause instanceof ApiProblem && !isGone(error.cause);
  return isAboutOne ? strings.saving.notThis(error.n, sentence) : sentence;
}

/** Aborted when the component goes: nothing is fetched, and nothing lands on the disk, after that. */
function useLeaving() {
  const leaving = useRef<AbortController>(null);
  useEffect(() => {
    const controller = new AbortController();
    leaving.current = controller;
    return () => controller.abort();
  }, []);
  return leaving;
}
