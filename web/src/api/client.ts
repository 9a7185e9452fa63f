/**
 * The one way to the API: every call carries the person's token, and every refusal of the person is noticed here.
 *
 * It knows neither MSAL (the token comes from a function) nor what a job is (one file a call does).
 */
import createClient, { type Client } from 'openapi-fetch';
import { ApiProblem, ConnectionLost, isServerAway, problemFrom, type Problem } from './problem';
import type { paths } from './schema';

const ANSWER_TIMEOUT_MS = 15_000;

type Person = {
  /** A valid access token; may leave the page for the sign-in, and never resolves then. Rejects with ApiProblem 401
   *  when only the person can help, else the sign-in couldn't be reached. */
  getToken: (options: { forceRefresh: boolean }) => Promise<string>;
  /** The API will not serve this person: 403, or 401 even with a fresh token. */
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
  /** The typed client for calls that answer in JSON, with a limit on how long an answer may take. */
  client: Client<paths>;
  /** As the person, without that limit, for pictures and event streams. Throws ApiProblem or ConnectionLost. */
  fetch: (request: Request) => Promise<Response>;
};

export function createApi({ getToken, onDenied }: Person): Api {
  const origin = window.location.origin;
  const connection = createConnection();

  async function send(request: Request, forceRefresh: boolean): Promise<Response> {
    try {
      const authorised = request.clone(); // the body is needed again if the token turns out to be refused
      authorised.headers.set('Authorization', `Bearer ${await getToken({ forceRefresh })}`);
      const response = await fetch(authorised);
      connection.note(!isServerAway(response.status));
      return response;
    } catch (error) {
      if (isAbort(error)) throw error;
      if (error instanceof ApiProblem) {
        onDenied(error.problem); // there is no token to be had
        throw error;
      }
      connection.note(false);
      throw new ConnectionLost(error);
    }
  }

  async function fetchAsPerson(request: Request): Promise<Response> {
    let response = await send(request, false);
    // A token can be refused before its time (keys rotated, clocks apart): a fresh one settles it.
    if (response.status === 401) response = await send(request, true);
    if (response.ok) return response;
    const refusal = await problemFrom(response);
    if (response.status === 401 || response.status === 403) onDenied(refusal.problem);
    throw refusal;
  }

  const client = createClient<paths>({
    baseUrl: origin,
    fetch: (request) => fetchAsPerson(withTimeout(request)),
  });
  return { origin, connection, client, fetch: fetchAsPerson };
}

/** The body of a call made with `Api.client`. Throws ApiProblem or ConnectionLost. */
export async function answer<T>(call: Promise<{ data?: T }>): Promise<T> {
  const { data } = await call.catch((error: unknown) => {
    if (error instanceof ApiProblem || error instanceof ConnectionLost || isAbort(error)) throw error;
    throw new ConnectionLost(error); // cut off in the middle of the body
  });
  // An empty answer has no data, and its type says so.
  return data as T;
}

function withTimeout(request: Request): Request {
  return new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]) });
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function createConnection(): Connection & { note: (isReachable: boolean) => void } {
  const listeners = new Set<() => void>();
  let reachable = true;
  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    isReachable: () => reachable,
    note: (isReachable) => {
      if (isReachable === reachable) return;
      reachable = isReachable;
      listeners.forEach((listener) => listener());
    },
  };
}
