// Takes the addresses out of the lock files, which npm adds for its own messages: a lock file names no host.
import { readFileSync, writeFileSync } from 'node:fs';

const LOCK_FILES = [
  '../package-lock.json',
  '../../tests/node/package-lock.json',
  '../../benchmarks/node/package-lock.json',
  '../../models/mini/recipe/package-lock.json',
];

for (const name of LOCK_FILES) {
  const file = new URL(name, import.meta.url);
  const lock = JSON.parse(readFileSync(file, 'utf8'));
  for (const entry of Object.values(lock.packages)) {
    delete entry.funding;
    delete entry.resolved;
    if (JSON.stringify(entry.license ?? '').includes('://')) delete entry.license;
  }
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
