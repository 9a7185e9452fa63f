/** What can go wrong with a call. API functions throw these errors, and components show them. */
import { strings } from '../ui/strings';

/** The fields of an RFC 9457 problem that the page shows or stores. `code` tells problems apart. */
export type Problem = {
  status: number;
  code: string;
  title: string;
  detail: string;
  requestId: string;
};

/** The server answered with an error. */
export class ApiProblem extends Error {
  constructor(
    readonly problem: Problem,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(problem.title);
    this.name = 'ApiProblem';
  }
}

/** No answer: offline, server away, or connection broken. The server may still have carried out the request. */
export class ConnectionLost extends Error {
  constructor(cause: unknown) {
    super('No answer from the server', { cause });
    this.name = 'ConnectionLost';
  }
}

/** Whether the same call may succeed a little later, without anybody doing anything. */
export function isTransient(error: unknown): boolean {
  return error instanceof ConnectionLost || (error instanceof ApiProblem && isServerAway(error.problem.status));
}

/** Whether the server deleted the job and its pictures after the retention time. */
export function isExpired(error: unknown): boolean {
  return error instanceof ApiProblem && error.problem.status === 410;
}

/** Whether the device has no disk space or memory left. Browsers use several error names for it. */
export function isOutOfSpace(error: unknown): boolean {
  return error instanceof Error && ['QuotaExceededError', 'NotReadableError', 'RangeError'].includes(error.name);
}

export function isServerAway(status: number): boolean {
  return status >= 502 && status <= 504;
}

/** Reads the problem from an error response. A body that is no problem document, such as a proxy's HTML page, gets
 *  general texts. */
export async function readProblem(response: Response): Promise<ApiProblem> {
  const body: unknown = await response.json().catch(() => null);
  const field = (name: string, fallback: string): string => {
    const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
    return typeof value === 'string' ? value : fallback;
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
