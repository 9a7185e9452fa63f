/**
 * Lets a person drag a picture out of the page. The drop gives the full PNG with its readable name, on the desktop (in
 * Chromium) and in other programs.
 *
 * The browser's own drag of an <img> already carries the whole file. It also carries the page's object URL, which means
 * nothing elsewhere: other programs would paste it as text or as a broken image. This hook removes it.
 */
import { useCallback, type DragEvent } from 'react';
import { temporaryUrl } from './save-file';

/**
 * Returns props for the <img> that shows `picture` or its rendition. Until the PNG is loaded, the <img> can't be
 * dragged. `onSaved` is called when a program has taken the picture.
 */
export function useDragOut(picture: File | undefined, onSaved: () => void) {
  const onDragStart = useCallback(
    ({ dataTransfer }: DragEvent<HTMLImageElement>) => {
      if (picture === undefined) return;
      for (const type of ['text/uri-list', 'text/html', 'text/plain']) dataTransfer.clearData(type);
      dataTransfer.setData('DownloadURL', `image/png:${picture.name}:${temporaryUrl(picture)}`);
      dataTransfer.effectAllowed = 'copy';
    },
    [picture],
  );
  const onDragEnd = ({ dataTransfer }: DragEvent<HTMLImageElement>) => {
    if (dataTransfer.dropEffect !== 'none') onSaved();
  };
  return { draggable: picture !== undefined, onDragStart, onDragEnd };
}
