// Who is signed in, and whether the server can be reached.

import { get, listen, Problem, send } from '../api/client.ts';
import type { Role, Session } from '../api/types.ts';

/** Why a provider's sign-in failed, as the server says in the address it sends a browser to. */
const FAILURES = ['provider', 'refused', 'over', 'stranger'] as const;
type Failure = (typeof FAILURES)[number];

class SessionState {
  session = $state.raw<Session | null>(null);
  /** Null until it is known whether somebody is signed in. */
  known = $state(false);
  problem = $state.raw<Problem | null>(null);
  failed = $state<Failure | null>(null);
  /** When the server stopped to answer; null while it does. */
  downSince = $state<number | null>(null);
}

export const state = new SessionState();
const RETRY_MS = 2_000;
let retry: ReturnType<typeof setTimeout> | undefined;

async function probe(): Promise<void> {
  retry = undefined;
  try {
    state.session = await get<Session>('/session');
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) state.session = null;
  }
}

/** Begins: takes a token from the address if there is one, else asks who is signed in. */
export async function begin(): Promise<void> {
  listen({
    up: () => {
      state.downSince = null;
    },
    down: () => {
      state.downSince ??= Date.now();
      retry ??= setTimeout(probe, RETRY_MS);
    },
    signedOut: () => {
      state.session = null;
    },
  });
  const told = new URLSearchParams(location.hash.slice(1));
  const token = told.get('token');
  const failed = told.get('signin');
  if (failed !== null) {
    state.failed = FAILURES.find((one) => one === failed) ?? null;
    history.replaceState(null, '', location.pathname + location.search);
  }
  if (token) {
    // At once: a token must not stay in an address that is shared or photographed.
    history.replaceState(null, '', location.pathname + location.search);
    await signIn(token);
  } else {
    try {
      state.session = await get<Session>('/session');
    } catch (problem) {
      if (problem instanceof Problem && problem.status !== 401) state.problem = problem;
    }
  }
  state.known = true;
}

export async function signIn(token: string): Promise<boolean> {
  state.problem = null;
  state.failed = null;
  try {
    state.session = await send<Session>('POST', '/session', { token });
    return state.session !== null;
  } catch (problem) {
    state.problem = problem instanceof Problem ? problem : new Problem(0, String(problem));
    return false;
  }
}

export async function signOut(): Promise<void> {
  try {
    await send('DELETE', '/session');
  } finally {
    state.session = null;
  }
}

const RANK: Record<Role, number> = { viewer: 0, author: 1, operator: 2 };

/** True if who is signed in may do what `role` may. */
export function may(role: Role): boolean {
  return state.session !== null && RANK[state.session.role] >= RANK[role];
}
