/** Where the page finds its API: at its own address, or at the one that its host's config.json names. */
import { http, HttpResponse } from 'msw';
import { expect, test, vi } from 'vitest';
import { PAGE_CONFIG } from '../test/fake-onbrand';
import { server } from '../test/server';
import {
  ApiUnreachable,
  getPageConfig,
  keptPageConfig,
  PageMisconfigured,
  renewPageConfig,
} from './get-page-config';
import { ConnectionLost } from './problem';

const OWN = 'http://localhost:8000';
const ELSEWHERE = 'https://api.studio.example';

function answer(origin: string, respond: () => Response): void {
  server.use(http.get(`${origin}/config.json`, respond));
}

test('the API that serves the page is the one at its own address', async () => {
  answer(OWN, () => HttpResponse.json(PAGE_CONFIG));
  expect(await getPageConfig()).toEqual({ origin: OWN, config: PAGE_CONFIG });
});

test.each([ELSEWHERE, `${ELSEWHERE}/`])('the page asks the API that its host names: %s', async (api) => {
  answer(OWN, () => HttpResponse.json({ api }));
  answer(ELSEWHERE, () => HttpResponse.json(PAGE_CONFIG));
  expect(await getPageConfig()).toEqual({ origin: ELSEWHERE, config: PAGE_CONFIG });
});

test.each([
  ...['', 'api.studio.example', '/', 'javascript:alert(1)', 'ftp://api.studio.example', `${ELSEWHERE}/v1`],
  ...[`${ELSEWHERE}?x`, `${ELSEWHERE}#x`, 'https://user:word@api.studio.example', 'http://api.studio.example'],
  ...[null, 8000, ['https://api.studio.example']],
])('an address that is no API over https is refused: %s', async (api) => {
  answer(OWN, () => HttpResponse.json({ api }));
  await expect(getPageConfig()).rejects.toBeInstanceOf(PageMisconfigured);
});

test.each([
  ['missing', () => HttpResponse.json({}, { status: 404 })],
  ['the start page', () => HttpResponse.html('<!doctype html>')],
  ['cut', () => HttpResponse.text('{"api": "https://')],
  ['empty', () => HttpResponse.json({})],
  ['no object', () => HttpResponse.json('https://api.studio.example')],
])('a configuration that is %s is a mistake of the host', async (_what, respond) => {
  answer(OWN, respond);
  await expect(getPageConfig()).rejects.toBeInstanceOf(PageMisconfigured);
});

test.each([
  ['nothing', () => HttpResponse.error()],
  ['another program', () => HttpResponse.json({ api: ELSEWHERE })],
  ['an error', () => HttpResponse.json({}, { status: 503 })],
])('an API that answers with %s is named as out of reach', async (_what, respond) => {
  answer(OWN, () => HttpResponse.json({ api: ELSEWHERE }));
  answer(ELSEWHERE, respond);
  const refusal = await getPageConfig().catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(ApiUnreachable);
  expect((refusal as ApiUnreachable).origin).toBe(ELSEWHERE);
});

test.each([
  ['nothing', () => HttpResponse.error()],
  ['an outage', () => HttpResponse.json({}, { status: 502 })],
])("a page's own host that answers with %s counts as a lost connection", async (_what, respond) => {
  answer(OWN, respond);
  await expect(getPageConfig()).rejects.toBeInstanceOf(ConnectionLost);
});

test('what was told is kept in the tab, for this build of the page alone', async () => {
  sessionStorage.clear();
  expect(keptPageConfig()).toBeNull();
  answer(OWN, () => HttpResponse.json(PAGE_CONFIG));
  const told = await getPageConfig();
  expect(keptPageConfig()).toEqual(told);
  sessionStorage.setItem('onbrand.config', JSON.stringify({ build: '/assets/app-before.js', onbrand: told }));
  expect(keptPageConfig()).toBeNull();
});

test.each([
  ['nothing', PAGE_CONFIG, 0],
  ['the version', { ...PAGE_CONFIG, version: '9.9.9' }, 0],
  ['the sign-in', { ...PAGE_CONFIG, sign_in: { ...PAGE_CONFIG.sign_in, client_id: 'another' } }, 1],
])('a page that began with what was kept begins anew if its sign-in has changed: %s', async (_what, config, times) => {
  const reload = vi.fn();
  vi.stubGlobal('location', { origin: OWN, reload });
  answer(OWN, () => HttpResponse.json(config));
  await renewPageConfig({ origin: OWN, config: PAGE_CONFIG });
  expect(reload).toHaveBeenCalledTimes(times);
  vi.unstubAllGlobals();
});
