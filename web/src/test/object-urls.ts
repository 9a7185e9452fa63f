/**
 * Object URLs, which jsdom doesn't have. `liveUrls` holds those that are not revoked. An <img> with such an address
 * loads a moment later, as in a browser; jsdom by itself loads no pictures.
 */

export const liveUrls = new Map<string, Blob>();
let made = 0;

URL.createObjectURL = (blob: Blob) => {
  made += 1;
  const address = `blob:test/${made}`;
  liveUrls.set(address, blob);
  return address;
};

URL.revokeObjectURL = (address: string) => {
  liveUrls.delete(address);
};

const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src');

Object.defineProperty(HTMLImageElement.prototype, 'src', {
  ...source,
  set(this: HTMLImageElement, address: string) {
    source?.set?.call(this, address);
    queueMicrotask(() => {
      if (liveUrls.has(address) && this.getAttribute('src') === address) this.dispatchEvent(new Event('load'));
    });
  },
});
