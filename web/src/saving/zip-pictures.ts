/** One zip of several pictures, made in the browser: the server has no work with it and it needs no connection. */
import { makeZip } from 'client-zip';
import { collect } from '../api/get-image';

/**
 * The pictures, stored as they are (PNG is compressed already), in a file named after the first of them. `madeAt` is
 * what a file manager shows as their date. Rejects as the browser does when there is no room for it.
 */
export async function zipOf(pictures: File[], madeAt: Date): Promise<File> {
  const entries = pictures.map((picture) => ({ input: picture, lastModified: madeAt }));
  const parts = await collect(makeZip(entries) as ReadableStream<Uint8Array<ArrayBuffer>>);
  return new File(parts, zipName(pictures), { type: 'application/zip' });
}

/** `onbrand_paper-plane_2026-01-28_7f3a_2.png` is in `onbrand_paper-plane_2026-01-28_7f3a.zip`. */
function zipName([first]: File[]): string {
  return `${first?.name.replace(/(_\d+)?\.png$/, '') ?? 'onbrand'}.zip`;
}
