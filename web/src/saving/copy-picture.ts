/** Copies a picture to the clipboard. */

export class CopyRefused extends Error {
  constructor(cause?: unknown) {
    super('The browser refused to copy', { cause });
  }
}

/**
 * Copies a picture as PNG. Must be called directly from a click or key handler.
 *
 * The clipboard gets the promise of the bytes, not the bytes: Safari no longer allows copying after an `await` in the
 * handler. Throws CopyRefused, or the error of `load`.
 */
export async function copyPicture(load: () => Promise<Blob>): Promise<void> {
  if (!('clipboard' in navigator && 'ClipboardItem' in window)) throw new CopyRefused();
  const bytes = load();
  try {
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': bytes })]);
  } catch (error) {
    await bytes; // throws the error of `load`, if loading was the reason
    throw new CopyRefused(error);
  }
}
