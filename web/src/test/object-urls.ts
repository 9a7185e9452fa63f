/** The blob: addresses that are alive, as jsdom makes none. */

export const liveAddresses = new Map<string, Blob>();
let made = 0;

URL.createObjectURL = (blob: Blob) => {
  made += 1;
  const address = `blob:test/${made}`;
  liveAddresses.set(address, blob);
  return address;
};

URL.revokeObjectURL = (address: string) => {
  liveAddresses.delete(address);
};
