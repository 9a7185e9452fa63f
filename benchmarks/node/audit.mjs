// Signs in to a running Onbrand in a real Chromium and has Lighthouse judge the page: empty, and with four pictures.
//
//   node audit.mjs http://localhost:8000 /usr/bin/chromium 3 --no-sandbox …
//
// Prints one JSON list, with an entry for each load. `benchmarks/lighthouse.py` starts the system and reads it.
import lighthouse, { desktopConfig } from 'lighthouse';
import { launch } from 'puppeteer-core';

const [origin, executablePath, runs, ...args] = process.argv.slice(2);
const PRESETS = {
  desktop: desktopConfig,
  mobile: { extends: 'lighthouse:default' },
  'desktop, nothing slowed down': {
    ...desktopConfig,
    settings: { ...desktopConfig.settings, throttlingMethod: 'provided' },
  },
};
const CATEGORIES = ['performance', 'accessibility', 'best-practices'];
const METRICS = {
  'largest-contentful-paint': 'lcp_ms',
  'first-contentful-paint': 'fcp_ms',
  'cumulative-layout-shift': 'cls',
  'total-blocking-time': 'tbt_ms',
};
const PATIENCE_MS = 60_000;
const TRIES = 3;

const browser = await launch({ executablePath, args, defaultViewport: { width: 1366, height: 768 } });
const found = [];
try {
  // One tab for all: the sign-in and the runs live in its sessionStorage. Lighthouse empties the HTTP cache before each
  // load, and leaves sessionStorage alone.
  const [tab] = await browser.pages();
  tab.setDefaultTimeout(PATIENCE_MS);
  await signIn(tab);
  await auditAll(tab, 'empty', 'textarea');
  await generate(tab);
  await auditAll(tab, 'four pictures', 'article img');
} finally {
  await browser.close();
}
process.stdout.write(`${JSON.stringify(found)}\n`);

async function auditAll(tab, content, proof) {
  for (const [preset, config] of Object.entries(PRESETS)) {
    for (let run = 0; run < Number(runs); run += 1) {
      const report = await audit(tab, config);
      if ((await tab.$(proof)) === null) throw new Error(`Lighthouse saw a page without ${proof}: ${tab.url()}`);
      found.push({ content, preset, ...figuresOf(report) });
    }
  }
}

// On a busy machine the trace can miss the start of the load (NO_NAVSTART), and Lighthouse asks to be run again.
async function audit(tab, config) {
  for (let tries = 1; ; tries += 1) {
    const flags = { onlyCategories: CATEGORIES, logLevel: 'error' };
    const { lhr } = await lighthouse(`${origin}/`, flags, config, tab);
    if (lhr.runtimeError === undefined) return lhr;
    if (tries === TRIES) throw new Error(lhr.runtimeError.message);
  }
}

function figuresOf({ categories, audits }) {
  const scores = CATEGORIES.map((name) => [name, Math.round(categories[name].score * 100)]);
  const metrics = Object.entries(METRICS).map(([audit, name]) => [name, audits[audit].numericValue]);
  const refs = CATEGORIES.flatMap((name) => categories[name].auditRefs).filter(({ weight }) => weight > 0);
  const short = refs.map(({ id }) => audits[id]).filter(({ score }) => score !== null && score < 1);
  return { ...Object.fromEntries([...scores, ...metrics]), short: short.map(({ id, score }) => ({ id, score })) };
}

async function signIn(tab) {
  await tab.goto(`${origin}/`);
  await tab.locator('::-p-text(Studio member)').click();
  await tab.waitForSelector('textarea');
}

async function generate(tab) {
  await tab.goto(`${origin}/`);
  await tab.locator('textarea').fill('a red backpack on a light blue background');
  await tab.locator('main ::-p-text(Generate)').click();
  await tab.waitForFunction(() => {
    const pictures = [...document.querySelectorAll('article figure img')];
    return pictures.filter(({ complete, naturalWidth }) => complete && naturalWidth === 512).length === 4;
  });
}
