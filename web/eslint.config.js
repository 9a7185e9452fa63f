import importX, { createNodeResolver } from 'eslint-plugin-import-x';
import jsxA11y from 'eslint-plugin-jsx-a11y';
import reactHooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

const SHARED = ['./src/api', './src/auth', './src/ui', './src/tab-storage.ts'];
const FEATURES = ['composer', 'runs', 'lightbox', 'saving', 'feedback'].map((name) => `./src/${name}`);

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
      // shared -> features -> app: a file may import from its own layer and from the layers before it.
      'import-x/no-restricted-paths': [
        'error',
        {
          zones: [
            ...SHARED.map((target) => ({ target, from: [...FEATURES, './src/app'] })),
            { target: FEATURES, from: ['./src/app', './src/auth'] },
            { target: ['./src/api', ...FEATURES], from: './src/auth' },
          ],
        },
      ],
    },
  },
  {
    // Tests render the whole page, so they sit outside the layers.
    files: ['src/**/*.test.{ts,tsx}', 'src/test/**'],
    rules: { 'import-x/no-restricted-paths': 'off', 'max-lines': 'off' },
  },
  { files: ['vite.config.ts'], rules: { 'import-x/no-default-export': 'off' } },
);
