// Prepares a built page for a static host (Azure Static Web Apps) and an API at another address:
//
//     node web/scripts/static-host.mjs SITE https://API [https://SIGN-IN]
//
// SITE is a copy of web/dist. SITE/config.json then tells the page where the API is, and the addresses of the API and
// of the sign-in service (by default Microsoft's) go into the Content-Security-Policy of SITE/staticwebapp.config.json.
// The bundle itself isn't touched. Running it again with other addresses replaces them.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TEMPLATE = new URL('../public/staticwebapp.config.json', import.meta.url);
const MICROSOFT = 'https://login.microsoftonline.com';

function stop(sentence) {
  process.stderr.write(`static-host: ${sentence}\n`);
  process.exit(2);
}

/** The origin that an address is, as browsers write it. http is for this machine alone. */
function originOf(address, what) {
  const url = URL.canParse(address) ? new URL(address) : null;
  const isHere = url?.protocol === 'http:' && ['localhost', '127.0.0.1'].includes(url.hostname);
  const isName = /^[a-z0-9.-]+$/.test(url?.hostname ?? ''); // no `*`, which is a wildcard in a policy
  if (!isName || !(url.protocol === 'https:' || isHere) || url.href !== `${url.origin}/`) {
    stop(`${what} must be an https address without a path, such as https://onbrand.example.`);
  }
  return url.origin;
}

const [site, api, signIn = MICROSOFT, ...rest] = process.argv.slice(2);
if (site === undefined || api === undefined || rest.length > 0) {
  stop('usage: node web/scripts/static-host.mjs SITE API-ADDRESS [SIGN-IN-ADDRESS]');
}
if (!existsSync(join(site, 'index.html'))) stop(`${site} holds no built page. Run \`npm --prefix web run build\` first.`);
const [apiOrigin, signInOrigin] = [originOf(api, 'The address of the API'), originOf(signIn, "The sign-in's address")];
const rules = readFileSync(TEMPLATE, 'utf8')
  .replaceAll('https://api.invalid', apiOrigin)
  .replaceAll('https://sign-in.invalid', signInOrigin);
writeFileSync(join(site, 'staticwebapp.config.json'), rules);
writeFileSync(join(site, 'config.json'), `${JSON.stringify({ api: apiOrigin })}\n`);
