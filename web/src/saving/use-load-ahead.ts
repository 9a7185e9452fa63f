/**
 * Loads the PNGs of shown pictures before anybody asks for them: then a picture is saved, copied and dragged out at
 * once, also without a connection. One at a time and last in the browser's line, so that nothing else waits for it.
 */
import { useEffect, useEffectEvent, useRef } from 'react';
import { useLoadImage } from '../api/use-image';

/** The pictures that a person came for are painted first, and the page answers; only then is more of it loaded. */
const BEGIN_AFTER_MS = 1_000;

/** `paths` are in the order in which they are loaded. */
export function useLoadAhead(paths: string[]): void {
  const loadImage = useLoadImage();
  const tried = useRef(new Set<string>());
  const isLoading = useRef(false);
  const isOver = useRef(false);
  const nextPath = useEffectEvent(() => paths.find((path) => !tried.current.has(path)));
  const loadAll = useEffectEvent(async () => {
    if (isLoading.current || wantsLessData()) return;
    isLoading.current = true;
    for (let path = nextPath(); path !== undefined && !isOver.current; path = nextPath()) {
      tried.current.add(path);
      // What fails here is loaded, and told, when somebody asks for it.
      await loadImage(path, { priority: 'low' }).catch(() => undefined);
    }
    isLoading.current = false;
  });
  useEffect(() => {
    isOver.current = false;
    return () => {
      isOver.current = true;
    };
  }, []);
  const count = paths.length;
  useEffect(() => {
    if (count === 0) return;
    const timer = window.setTimeout(() => void loadAll(), BEGIN_AFTER_MS);
    return () => window.clearTimeout(timer);
  }, [count]);
}

/** The person has asked the browser to save data (only some browsers tell). */
function wantsLessData(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true;
}
