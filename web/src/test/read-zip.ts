/** Reads the entries of a zip from its records (APPNOTE.TXT 4.3), without the library that wrote the zip. */

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const FILE = 0x04034b50;

export type ZipEntry = { name: string; bytes: Uint8Array; isStored: boolean; crc: number; modified: Date };

export function readZip(zip: Uint8Array): ZipEntry[] {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  const end = zip.length - 22;
  expectMark(view, end, END);
  const entries: ZipEntry[] = [];
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    expectMark(view, at, ENTRY);
    entries.push(readEntry(zip, view, at));
    at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return entries;
}

function readEntry(zip: Uint8Array, view: DataView, at: number): ZipEntry {
  const size = view.getUint32(at + 20, true);
  const file = view.getUint32(at + 42, true);
  expectMark(view, file, FILE);
  const start = file + 30 + view.getUint16(file + 26, true) + view.getUint16(file + 28, true);
  const name = zip.subarray(file + 30, file + 30 + view.getUint16(file + 26, true));
  return {
    name: new TextDecoder().decode(name),
    bytes: zip.slice(start, start + size),
    isStored: view.getUint16(file + 8, true) === 0,
    crc: view.getUint32(at + 16, true),
    modified: dosTime(view.getUint16(at + 12, true), view.getUint16(at + 14, true)),
  };
}

function dosTime(time: number, date: number): Date {
  return new Date(
    1980 + (date >> 9), ((date >> 5) & 15) - 1, date & 31, time >> 11, (time >> 5) & 63, (time & 31) * 2,
  );
}

function expectMark(view: DataView, at: number, mark: number): void {
  if (view.getUint32(at, true) !== mark) throw new Error(`No record ${mark.toString(16)} at byte ${at}`);
}
