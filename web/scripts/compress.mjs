// Leaves compressed copies of every asset of the built page beside it, for the API to serve. A static host does this on
// its own. Browsers take Brotli (a seventh smaller) over HTTPS and from this machine, and gzip from anywhere.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const ASSETS = new URL('../dist/assets/', import.meta.url);

for (const name of readdirSync(ASSETS).filter((file) => /\.(js|css)$/.test(file))) {
  const content = readFileSync(new URL(name, ASSETS));
  writeFileSync(new URL(`${name}.gz`, ASSETS), gzipSync(content, { level: 9 }));
  writeFileSync(new URL(`${name}.br`, ASSETS), brotliCompressSync(content));
}
