/** What can go wrong with a call, as data that can be shown and stored. Calls throw; components show. */
import { strings } from '../ui/strings';

/** The fields of an RFC 9457 problem that people get to see, and `code` to tell problems apart. */
export type Problem = {
  status: number;
  code: string;
  title: string;
  detail: string;
  requestId: string;
};

/** The server answered, and the answer is no. */
export class ApiProblem extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(problem.title);
    this.name = 'ApiProblem';
  }
}

/** No answer: offline, the server away, or the connection cut. It says nothing about what the server did. */
export class ConnectionLost extends Error {
  constructor(cause: unknown) {
    super('No answer from the server', { cause });
    this.name = 'ConnectionLost';
  }
}

/** Whether the same call may succeed a little later without anybody doing anything. */
export function isTransient(error: unknown): boolean {
  return error instanceof ConnectionLost || (error instanceof ApiProblem && isServerAway(error.problem.status));
}

/** Whether the device has no room left, on disk or in memory; browsers have several names for it. */
export function isOutOfSpace(error: unknown): boolean {
  return error instanceof Error && ['QuotaExceededError', 'NotReadableError', 'RangeError'].includes(error.name);
}

export function isServerAway(status: number): boolean {
  return status >= 502 && status <= 504;
}

/** The problem in a response; a proxy's page of HTML becomes a general one. */
export async function problemFrom(response: Response): Promise<ApiProblem> {
  const body: unknown = await response.json().catch(() => null);
  const field = (name: string, otherwise: string): string => {
    const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
    return typeof value === 'string' ? value : otherwise;
  };
  const seconds = Number.parseInt(response.headers.get('Retry-After') ?? '', 10);
  return new ApiProblem(
    {
      status: response.status,
      code: field('code', 'unknown'),
      title: field('title', strings.problem.unknownTitle),
      detail: field('detail', strings.problem.unknownDetail),
      requestId: field('request_id', ''),
    },
    Number.isNaN(seconds) ? null : seconds,
  );
}
