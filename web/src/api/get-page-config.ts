/** Gets what the page needs before anybody is signed in. This is the only call without a token. */
import { ConnectionLost, readProblem } from './problem';
import type { components } from './schema';

export type PageConfig = components['schemas']['PageConfig'];

export async function getPageConfig(): Promise<PageConfig> {
  const response = await fetch(`${window.location.origin}/config.json`, { cache: 'no-store' }).catch(
    (error: unknown) => {
      throw new ConnectionLost(error);
    },
  );
  if (!response.ok) throw await readProblem(response);
  return (await response.json()) as PageConfig;
}
