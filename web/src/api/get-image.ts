/** The bytes of one picture: to show it, or to save it under the name the API gives it. */
import { ConnectionLost } from './problem';
import type { Api } from './client';

/** `address` is one of the job's `images`, relative to the API. */
export async function getImage(api: Api, address: string, signal: AbortSignal): Promise<Blob> {
  const response = await api.fetch(new Request(api.origin + address, { signal }));
  return bytes(response);
}

export async function downloadImage(api: Api, address: string): Promise<{ blob: Blob; name: string }> {
  const response = await api.fetch(new Request(`${api.origin + address}?download=1`));
  return { blob: await bytes(response), name: fileName(response) };
}

async function bytes(response: Response): Promise<Blob> {
  return response.blob().catch((error: unknown) => {
    if (error instanceof Error && error.name === 'AbortError') throw error;
    throw new ConnectionLost(error); // cut off in the middle of the picture
  });
}

// The API's names are plain ASCII, so the simple form of the header is all there is to read.
function fileName(response: Response): string {
  const header = response.headers.get('Content-Disposition') ?? '';
  return /filename="([\w.-]+)"/.exec(header)?.[1] ?? 'onbrand_illustration.png';
}
