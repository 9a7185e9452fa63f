/** Records the files that the page saves to the person's disk, in order. */
import { vi } from 'vitest';
import { liveUrls } from './object-urls';

export type Download = { name: string; type: string; bytes: () => Promise<Uint8Array> };

export function recordDownloads(): Download[] {
  const saved: Download[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
    const blob = liveUrls.get(this.href);
    if (blob === undefined) throw new Error(`${this.href} is not a live object URL`);
    saved.push({ name: this.download, type: blob.type, bytes: async () => new Uint8Array(await blob.arrayBuffer()) });
  });
  return saved;
}
