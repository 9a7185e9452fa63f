// Leaves every asset of the built page gzipped beside itself, for the API to serve. A static host does this on its own.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const ASSETS = new URL('../dist/assets/', import.meta.url);

for (const name of readdirSync(ASSETS).filter((file) => /\.(js|css)$/.test(file))) {
  writeFileSync(new URL(`${name}.gz`, ASSETS), gzipSync(readFileSync(new URL(name, ASSETS)), { level: 9 }));
}
