/** What the page hands to the person's disk: the name and the bytes of each file, in order. */
import { vi } from 'vitest';
import { liveAddresses } from './object-urls';

export type Saved = { name: string; type: string; bytes: () => Promise<Uint8Array> };

export function watchSaving(): Saved[] {
  const saved: Saved[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
    const blob = liveAddresses.get(this.href);
    if (blob === undefined) throw new Error(`${this.href} is no live address`);
    saved.push({ name: this.download, type: blob.type, bytes: async () => new Uint8Array(await blob.arrayBuffer()) });
  });
  return saved;
}
