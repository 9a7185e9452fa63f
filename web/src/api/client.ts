/**
 * The one way to the API. Every call carries the person's access token, and 401 and 403 answers are reported here.
 *
 * This file doesn't know MSAL: a function gives it the token. It doesn't know jobs either: each call has its own file.
 */
import createClient, { type Client } from 'openapi-fetch';
import { ApiProblem, ConnectionLost, isServerAway, readProblem, type Problem } from './problem';
import type { paths } from './schema';

const TIMEOUT_MS = 15_000;

type Person = {
  /**
   * Returns a valid access token. If the page must leave for the sign-in, the promise never settles. It rejects with
   * ApiProblem 401 when only the person can help, and with ConnectionLost when the sign-in service can't be reached.
   */
  getToken: (options: { forceRefresh: boolean }) => Promise<string>;
  /** The API refuses this person: it answered 403, or 401 even with a fresh token. */
  onDenied: (problem: Problem) => void;
};

type Connection = {
  subscribe: (listener: () => void) => () => void;
  /** Whether the latest call got an answer from Onbrand itself. */
  isReachable: () => boolean;
};

export type Api = {
  origin: string;
  connection: Connection;
  /** The typed client for calls with a JSON answer. A call fails after 15 s without an answer. */
  client: Client<paths>;
  /** `fetch` with the token and without a timeout, for pictures and streams. Throws ApiProblem or ConnectionLost. */
  fetch: (request: Request) => Promise<Response>;
};

/** `origin` is the address of the API, which may be another than the page's own. */
export function createApi(origin: string, { getToken, onDenied }: Person): Api {
  const connection = createConnection();

  async function send(request: Request, forceRefresh: boolean): Promise<Response> {
    try {
      const authorised = request.clone(); // the second try needs the body again
      authorised.headers.set('Authorization', `Bearer ${await getToken({ forceRefresh })}`);
      const response = await fetch(authorised);
      connection.setReachable(!isServerAway(response.status));
      return response;
    } catch (error) {
      if (isAbort(error)) throw error;
      if (error instanceof ApiProblem) {
        onDenied(error.problem); // getToken has no token for this person
        throw error;
      }
      connection.setReachable(false);
      throw new ConnectionLost(error);
    }
  }

  async function fetchWithToken(request: Request): Promise<Response> {
    let response = await send(request, false);
    // The server may refuse a token that looks valid here (keys changed, clocks differ). A fresh token settles it.
    if (response.status === 401) response = await send(request, true);
    if (response.ok) return response;
    const refusal = await readProblem(response);
    if (response.status === 401 || response.status === 403) onDenied(refusal.problem);
    throw refusal;
  }

  const client = createClient<paths>({
    baseUrl: origin,
    fetch: (request) => fetchWithToken(withTimeout(request)),
  });
  return { origin, connection, client, fetch: fetchWithToken };
}

/** The JSON body of a call made with `Api.client`. Throws ApiProblem or ConnectionLost. */
export async function responseData<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call.catch((error: unknown) => {
    if (error instanceof ApiProblem || error instanceof ConnectionLost || isAbort(error)) throw error;
    throw new ConnectionLost(error); // the connection broke in the middle of the body
  });
  // An answer without a body has no data, and the type T says so.
  return data as T;
}

function withTimeout(request: Request): Request {
  return new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]) });
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function createConnection(): Connection & { setReachable: (isReachable: boolean) => void } {
  const listeners = new Set<() => void>();
  let reachable = true;
  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    isReachable: () => reachable,
    setReachable: (isReachable) => {
      if (isReachable === reachable) return;
      reachable = isReachable;
      listeners.forEach((listener) => listener());
    },
  };
}
