/** Makes one zip of several pictures, in the browser: the server has no work with it, and it needs no connection. */
import { makeZip } from 'client-zip';
import { readStream } from '../api/get-image';

const ALL = 4;

/**
 * The zip is named after the first picture. It stores the pictures without compression, because PNG is compressed
 * already. `madeAt` is the date that a file manager shows for them.
 *
 * Rejects with the browser's own error when the device has no space left.
 */
export async function zipPictures(pictures: File[], madeAt: Date): Promise<File> {
  const entries = pictures.map((picture) => ({ input: picture, lastModified: madeAt }));
  const parts = await readStream(makeZip(entries) as ReadableStream<Uint8Array<ArrayBuffer>>);
  return new File(parts, zipName(pictures), { type: 'application/zip' });
}

/**
 * All four of `onbrand_paper-plane_2026-01-28_7f3a_2.png` go into `onbrand_paper-plane_2026-01-28_7f3a.zip`. A part of
 * them has its numbers in the name, so that no two zips of a run have the same name: `…_7f3a_2_4.zip`.
 */
function zipName(pictures: File[]): string {
  const [stem = 'onbrand'] = pictures.map(({ name }) => name.replace(/(_\d+)?\.png$/, ''));
  const numbers = pictures.map(({ name }) => /_\d+(?=\.png$)/.exec(name)?.[0] ?? '');
  return `${stem}${pictures.length < ALL ? numbers.join('') : ''}.zip`;
}
