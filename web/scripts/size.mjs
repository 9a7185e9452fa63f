/**
 * Prints what the first load weighs: each script and style sheet of the built page, raw and gzipped. The sign-in's
 * scripts are loaded by a page that knows nobody yet, so they count, too.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const ASSETS = new URL('../dist/assets/', import.meta.url);
const HTML = readFileSync(new URL('../dist/index.html', import.meta.url), 'utf8');
const LIMIT_KB = 200;

const kilobytes = (bytes) => (bytes / 1000).toFixed(1).padStart(8);

let script = 0;
let signIn = 0;
console.log(`${'kB'.padStart(8)} ${'gzip kB'.padStart(8)}`);
for (const name of readdirSync(ASSETS).filter((file) => /\.(js|css)$/.test(file))) {
  const source = readFileSync(new URL(name, ASSETS));
  const zipped = gzipSync(source, { level: 9 }).length;
  const loaded = HTML.includes(name);
  const isSignIn = !loaded && /^(msal-session|CacheKeys)-/.test(name);
  if (loaded && name.endsWith('.js')) script += zipped;
  if (isSignIn) signIn += zipped;
  const when = loaded ? '' : isSignIn ? ' (for the sign-in)' : ' (when it is needed)';
  console.log(`${kilobytes(source.length)} ${kilobytes(zipped)} ${name}${when}`);
}
const [page, all] = [script, script + signIn].map((bytes) => (bytes / 1000).toFixed(1));
console.log(`Gzipped JavaScript: ${page} kB, with the sign-in ${all} kB; the aim is at most ${LIMIT_KB}.`);
process.exitCode = signIn === 0 || script + signIn > LIMIT_KB * 1000 ? 1 : 0;
