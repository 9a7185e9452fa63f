/** The file of one picture: the stored bytes under the name the API gives them. */
import { ApiProblem, ConnectionLost, isOutOfSpace } from './problem';
import type { Api } from './client';

/** A picture that has sent nothing for so long will not come over this connection. */
const SILENCE_MS = 20_000;

export type Loading = {
  signal?: AbortSignal | undefined;
  /** Told how many more bytes have come. */
  onBytes?: ((count: number) => void) | undefined;
};

/**
 * `address` is one of the job's `images`, relative to the API. The name comes with the bytes, so that a picture that is
 * on the page can be saved, zipped and dragged out at once, and without a connection. (`?download=1` would count it as
 * saved.)
 */
export async function getImage(api: Api, address: string, { signal, onBytes }: Loading): Promise<File> {
  const silence = new AbortController();
  let timer = 0;
  const heard = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => silence.abort(), SILENCE_MS);
  };
  heard();
  try {
    const signals = signal === undefined ? [silence.signal] : [signal, silence.signal];
    const response = await api.fetch(new Request(api.origin + address, { signal: AbortSignal.any(signals) }));
    const parts = await partsOf(response, (count) => {
      heard();
      onBytes?.(count);
    });
    return new File(parts, fileName(response) ?? fallbackName(address), { type: 'image/png' });
  } catch (error) {
    if (silence.signal.aborted) throw new ConnectionLost(error);
    if (signal?.aborted || error instanceof ApiProblem || error instanceof ConnectionLost || isOutOfSpace(error)) {
      throw error;
    }
    throw new ConnectionLost(error); // cut off in the middle of the picture
  } finally {
    window.clearTimeout(timer);
  }
}

async function partsOf(response: Response, onBytes: (count: number) => void): Promise<BlobPart[]> {
  return response.body === null ? [await response.blob()] : collect(response.body, onBytes);
}

/** All of a stream. Rejects with the stream's own error, which a Response made of it hides in some browsers. */
export async function collect(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  onBytes: (count: number) => void = () => undefined,
): Promise<BlobPart[]> {
  const parts: BlobPart[] = [];
  const write = (part: Uint8Array<ArrayBuffer>) => {
    parts.push(part);
    onBytes(part.byteLength);
  };
  await stream.pipeTo(new WritableStream({ write }));
  return parts;
}

// The API's names are plain ASCII, so the simple form of the header is all there is to read.
function fileName(response: Response): string | undefined {
  return /filename="([\w.-]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1];
}

/** Should the header have been lost on the way: `onbrand_7f3a91c2_2.png`, which no other picture of a run has. */
function fallbackName(address: string): string {
  const [, job = 'illustration', n = '1'] = /([0-9a-f]{8})[^/]*\/images\/(\d+)$/.exec(address) ?? [];
  return `onbrand_${job}_${n}.png`;
}
