/** Downloads one picture as a File: the stored bytes, under the file name and with the type that the API gives. */
import { ApiProblem, ConnectionLost, isOutOfSpace } from './problem';
import type { Api } from './client';

/** After this time without a byte, the download counts as lost. */
const SILENCE_MS = 20_000;

export type DownloadOptions = {
  signal?: AbortSignal | undefined;
  /** Called with the size of the whole file in bytes, before its first byte, if the API says it. */
  onSize?: ((bytes: number) => void) | undefined;
  /** Called with the number of bytes that have just arrived. */
  onBytes?: ((count: number) => void) | undefined;
  /** 'low' for what nobody waits for. */
  priority?: RequestPriority | undefined;
};

/**
 * `path` is one of the job's `images`, relative to the API, for the PNG; with `?size=512` it is a WebP for a tile, or
 * the PNG of a job that has none. The file name comes with the bytes. So a picture on the
 * page can be saved, zipped and dragged out at once, even without a connection.
 *
 * The request doesn't use `?download=1`, because the server would count the picture as saved.
 */
export async function getImage(api: Api, path: string, options: DownloadOptions): Promise<File> {
  const { signal, onSize, onBytes, priority = 'auto' } = options;
  const silence = new AbortController();
  let timer = 0;
  const restartTimer = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => silence.abort(), SILENCE_MS);
  };
  restartTimer();
  try {
    const signals = signal === undefined ? [silence.signal] : [signal, silence.signal];
    const response = await api.fetch(new Request(api.origin + path, { signal: AbortSignal.any(signals), priority }));
    const size = Number(response.headers.get('Content-Length'));
    if (size > 0) onSize?.(size);
    const parts = await readBody(response, (count) => {
      restartTimer();
      onBytes?.(count);
    });
    const type = response.headers.get('Content-Type') === 'image/webp' ? 'image/webp' : 'image/png';
    return new File(parts, fileName(response) ?? fallbackName(path), { type });
  } catch (error) {
    if (silence.signal.aborted) throw new ConnectionLost(error);
    if (signal?.aborted || error instanceof ApiProblem || error instanceof ConnectionLost || isOutOfSpace(error)) {
      throw error;
    }
    throw new ConnectionLost(error); // the connection broke in the middle of the picture
  } finally {
    window.clearTimeout(timer);
  }
}

async function readBody(response: Response, onBytes: (count: number) => void): Promise<BlobPart[]> {
  return response.body === null ? [await response.blob()] : readStream(response.body, onBytes);
}

/**
 * Reads a stream to its end. Rejects with the stream's own error. (`new Response(stream).blob()` hides that error in
 * some browsers.)
 */
export async function readStream(
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

// The API's file names are plain ASCII, so this reads only the simple form of the header.
function fileName(response: Response): string | undefined {
  return /filename="([\w.-]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1];
}

/** The file name if a proxy removed the header: `onbrand_7f3a91c2_2.png`, unique among the pictures of a job. */
function fallbackName(path: string): string {
  const [, job = 'illustration', n = '1'] = /([0-9a-f]{8})[^/]*\/images\/(\d+)/.exec(path) ?? [];
  return `onbrand_${job}_${n}.png`;
}
