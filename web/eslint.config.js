import importX, { createNodeResolver } from 'eslint-plugin-import-x';
import jsxA11y from 'eslint-plugin-jsx-a11y';
import reactHooks from 'eslint-plugin-react-hooks';
import { readdirSync } from 'node:fs';
import tseslint from 'typescript-eslint';

/**
 * The rooms of `src`, and what each room may import: the listed rooms and packages, itself, and the files directly in
 * `src`. Everything else is an error, so a new file needs no line here.
 *
 * A room may list only rooms above itself. So there is no circle of rooms.
 */
const ROOMS = {
  ui: { rooms: [], packages: ['react', '@radix-ui/*'] },
  api: { rooms: ['ui'], packages: ['react', '@tanstack/react-query', 'openapi-fetch', 'eventsource-client'] },
  auth: { rooms: ['ui', 'api'], packages: ['@azure/msal-browser'] },
  composer: { rooms: ['ui', 'api'], packages: ['react'] },
  limits: { rooms: ['ui', 'api'], packages: ['react', '@tanstack/react-query'] },
  feedback: { rooms: ['ui', 'api'], packages: ['react', '@tanstack/react-query'] },
  saving: { rooms: ['ui', 'api'], packages: ['react', '@tanstack/react-query', 'client-zip'] },
  lightbox: { rooms: ['ui', 'api', 'saving'], packages: ['react'] },
  runs: { rooms: ['ui', 'api', 'saving', 'lightbox'], packages: ['react', '@tanstack/react-query'] },
  review: { rooms: ['ui', 'api'], packages: ['react', '@tanstack/react-query'] },
  app: {
    rooms: ['ui', 'api', 'auth', 'composer', 'limits', 'feedback', 'saving', 'lightbox', 'runs', 'review'],
    packages: ['react', 'react-dom', '@radix-ui/*', '@tanstack/react-query'],
  },
};
/** Tests render the whole page, so `test` and the test files may import everything. */
const TEST_FILES = ['src/**/*.test.{ts,tsx}', 'src/test/**'];

const folders = readdirSync(new URL('src', import.meta.url), { withFileTypes: true });
for (const { name } of folders.filter((entry) => entry.isDirectory() && entry.name !== 'test')) {
  if (!(name in ROOMS)) throw new Error(`src/${name} is missing in ROOMS (eslint.config.js)`);
}
const names = Object.keys(ROOMS);
for (const [index, name] of names.entries()) {
  const circular = ROOMS[name].rooms.find((other) => !names.slice(0, index).includes(other));
  if (circular) throw new Error(`ROOMS (eslint.config.js): ${name} lists ${circular}, which is not above it`);
}

const topFiles = folders.filter((entry) => entry.isFile()).map((entry) => `./${entry.name}`);

/** The rules for one room: which files and which packages it may import. */
function roomRules(name) {
  const { rooms, packages } = ROOMS[name];
  const allowedRooms = [name, ...rooms].map((room) => `./${room}`);
  const allowedPackages = packages.map((each) => each.replace('/*', '')).join('|');
  return {
    files: [`src/${name}/**`],
    ignores: TEST_FILES,
    rules: {
      'import-x/no-restricted-paths': [
        'error',
        {
          zones: [
            {
              target: `./src/${name}`,
              from: './src',
              except: [...allowedRooms, ...topFiles],
              message: `src/${name} may import only ${[name, ...rooms].join(', ')}; see ROOMS in eslint.config.js.`,
            },
          ],
        },
      ],
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: `^(?!\\.|(${allowedPackages})(/|$))`,
              message: `src/${name} may import only ${packages.join(', ')}; see ROOMS in eslint.config.js.`,
            },
          ],
        },
      ],
    },
  };
}

export default tseslint.config(
  { ignores: ['dist', 'src/api/schema.d.ts'] },
  {
    files: ['**/*.{ts,tsx}'],
    extends: [
      ...tseslint.configs.strictTypeChecked,
      jsxA11y.flatConfigs.strict,
      reactHooks.configs.flat['recommended-latest'],
    ],
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver-next': [createNodeResolver({ extensions: ['.ts', '.tsx', '.css', '.json'] })] },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-len': ['error', 120],
      'max-lines': ['error', { max: 250, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/consistent-type-definitions': ['error', 'type'],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'import-x/no-cycle': 'error',
      'import-x/no-extraneous-dependencies': 'error',
      'import-x/no-default-export': 'error',
    },
  },
  ...names.map(roomRules),
  // The files directly in `src` belong to every room, so they import nothing.
  { files: ['src/*.{ts,tsx}'], rules: { 'no-restricted-imports': ['error', { patterns: [{ regex: '.' }] }] } },
  { files: TEST_FILES, rules: { 'max-lines': ['error', { max: 350 }] } },
  { files: ['vite.config.ts'], rules: { 'import-x/no-default-export': 'off' } },
);
