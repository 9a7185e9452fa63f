/**
 * Dragging a picture out of the page gives the full PNG under its readable name, on the desktop (Chromium) and in other
 * programs.
 *
 * The browser's own drag of an <img> already carries the whole file; what it adds beside it is the page's private
 * blob: address, which means nothing elsewhere and would be pasted as text or as a broken image.
 */
import { useCallback, type DragEvent } from 'react';
import { lendAddress } from './save-file';

/** Props for the <img> that shows `picture`; `onKept` when it was dropped somewhere that took it. */
export function useDragOut(picture: File, onKept: () => void) {
  const onDragStart = useCallback(
    ({ dataTransfer }: DragEvent<HTMLImageElement>) => {
      for (const useless of ['text/uri-list', 'text/html', 'text/plain']) dataTransfer.clearData(useless);
      dataTransfer.setData('DownloadURL', `image/png:${picture.name}:${lendAddress(picture)}`);
      dataTransfer.effectAllowed = 'copy';
    },
    [picture],
  );
  const onDragEnd = ({ dataTransfer }: DragEvent<HTMLImageElement>) => {
    if (dataTransfer.dropEffect !== 'none') onKept();
  };
  return { draggable: true, onDragStart, onDragEnd };
}
