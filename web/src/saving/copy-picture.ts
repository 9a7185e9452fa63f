/** Pictures on the clipboard. */

export class CopyRefused extends Error {
  constructor(cause?: unknown) {
    super('The browser refused to copy', { cause });
  }
}

/**
 * Puts a picture on the clipboard as a PNG; to be called straight from a click or a key. The clipboard is given the
 * promise, not the bytes: Safari forgets the click while anything is awaited.
 *
 * Throws CopyRefused, or what `load` throws.
 */
export async function copyPicture(load: () => Promise<Blob>): Promise<void> {
  if (!('clipboard' in navigator && 'ClipboardItem' in window)) throw new CopyRefused();
  const bytes = load();
  try {
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': bytes })]);
  } catch (error) {
    await bytes; // if there are none, that is why
    throw new CopyRefused(error);
  }
}
