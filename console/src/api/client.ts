// One way to the server: JSON in, JSON out, a Problem on every failure.

import type { ProblemBody } from './types.ts';

export type Query = Record<string, string | number | boolean | string[] | null | undefined>;

/** A request that failed: by the server's answer, or because there was none (status 0). */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfter: number;

  constructor(status: number, message: string, code = '', retryAfter = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

type Listener = { up: () => void; down: () => void; signedOut: () => void };
let listener: Listener = { up: () => {}, down: () => {}, signedOut: () => {} };

/** Says who wants to know that the server is gone, back, or wants a new sign-in. */
export function listen(to: Listener): void {
  listener = to;
}

/** `path` under /api/v1 with its query; lists repeat their name, empty values are left out. */
export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === '' || value === false) continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
  }
  const text = search.toString();
  return `/api/v1${path}${text === '' ? '' : `?${text}`}`;
}

async function problemOf(response: Response): Promise<Problem> {
  let body: ProblemBody = {};
  try {
    body = await response.json();
  } catch {
    // Not JSON: a proxy's page. The status says what there is to say.
  }
  const text = body.detail || body.title || `${response.status} ${response.statusText}`;
  const wait = Number(response.headers.get('retry-after') ?? 0);
  return new Problem(response.status, text, body.code ?? '', Number.isFinite(wait) ? wait : 0);
}

async function call(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, credentials: 'same-origin' });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    listener.down();
    throw new Problem(0, cause instanceof Error ? cause.message : String(cause));
  }
  // A proxy in front of a server that restarts answers for it.
  if (response.status === 502 || response.status === 503 || response.status === 504) listener.down();
  else listener.up();
  if (response.ok) return response;
  if (response.status === 401 && !url.endsWith('/session')) listener.signedOut();
  throw await problemOf(response);
}

/** Asks for a document. */
export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const response = await call(address(path, query), signal ? { signal } : {});
  return response.json();
}

/** Asks for a change. */
export async function send<T>(
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T | null> {
  const headers: Record<string, string> = { 'X-Sekisho-Request': '1' };
  const init: RequestInit = { method, headers };
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(body);
  }
  if (signal) init.signal = signal;
  const response = await call(address(path), init);
  const text = await response.text();
  return text === '' ? null : JSON.parse(text);
}

/** Hands in a file; `progress` hears the share that is there. Without fetch, which tells no progress. */
export function hand<T>(path: string, query: Query, file: Blob, progress: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', address(path, query));
    request.setRequestHeader('X-Sekisho-Request', '1');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = (event) => progress(event.total > 0 ? event.loaded / event.total : 0);
    request.onerror = () => reject(new Problem(0, 'the connection broke'));
    request.onload = async () => {
      const headers = { 'retry-after': request.getResponseHeader('retry-after') ?? '' };
      const response = new Response(request.responseText, { status: request.status, headers });
      if (!response.ok) reject(await problemOf(response));
      else resolve(await response.json());
    };
    request.send(file);
  });
}
