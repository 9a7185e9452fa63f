/** Object URLs, which jsdom doesn't have. `liveUrls` holds those that are not revoked. */

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
