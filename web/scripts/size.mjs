/** Prints what the first load weighs: each script and style sheet of the built page, raw and gzipped. */
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const ASSETS = new URL('../dist/assets/', import.meta.url);
const HTML = readFileSync(new URL('../dist/index.html', import.meta.url), 'utf8');
const LIMIT_KB = 200;

const kilobytes = (bytes) => (bytes / 1000).toFixed(1).padStart(8);

let script = 0;
console.log(`${'kB'.padStart(8)} ${'gzip kB'.padStart(8)}`);
for (const name of readdirSync(ASSETS).filter((file) => /\.(js|css)$/.test(file))) {
  const source = readFileSync(new URL(name, ASSETS));
  const zipped = gzipSync(source, { level: 9 }).length;
  const loaded = HTML.includes(name);
  if (loaded && name.endsWith('.js')) script += zipped;
  console.log(`${kilobytes(source.length)} ${kilobytes(zipped)} ${name}${loaded ? '' : ' (not in the first load)'}`);
}
console.log(`First load: ${(script / 1000).toFixed(1)} kB of gzipped JavaScript; the aim is at most ${LIMIT_KB}.`);
process.exitCode = script / 1000 > LIMIT_KB ? 1 : 0;
