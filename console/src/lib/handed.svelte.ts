// Files of flows that were handed in from this page, and what became of them: known while the page is
// open, whatever screen is looked at.

import { get, hand, Problem } from '../api/client.ts';
import type { Import } from '../api/types.ts';
import { t } from './i18n.svelte.ts';
import { href, route } from './router.svelte.ts';

/** One of them: the share that was sent, then what the server tells, or why it did not take it. */
type Handed = { name: string; share: number; told: Import | null; problem: string };

const LOOK_MS = 700;
/** Windows are of whole minutes. */
const MINUTE_MS = 60_000;

class HandedState {
  all = $state<Handed[]>([]);
}

export const handed = new HandedState();

/** Hands files in, one after the other; calls `done` when one is read. */
export async function take(files: Iterable<File>, done: () => void): Promise<void> {
  const cluster = route.get('cluster');
  const where: Record<string, string> = cluster === '' ? {} : { cluster };
  for (const file of files) {
    handed.all.push({ name: file.name, share: 0, told: null, problem: '' });
    const one = handed.all[handed.all.length - 1];
    if (!one) return;
    try {
      one.told = await hand<Import>('/imports', { ...where, name: file.name }, file, (share) => {
        one.share = share;
      });
      await follow(one, where);
      done();
    } catch (cause) {
      const unreachable = cause instanceof Problem && cause.status === 0;
      one.problem = unreachable ? t('fail.unreachable') : cause instanceof Error ? cause.message : String(cause);
    }
  }
}

/** Looks until it is read. */
async function follow(one: Handed, where: Record<string, string>): Promise<void> {
  while (one.told && one.told.state !== 'done' && one.told.state !== 'failed') {
    const id = one.told.id;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const all = await get<Import[]>('/imports', where);
    one.told = all.find((other) => other.id === id) ?? one.told;
  }
}

/** The map of the time that a file covers. */
export function place(told: Import): string {
  const [from, to] = [Date.parse(told.from ?? ''), Date.parse(told.to ?? '')];
  const [start, end] = [Math.floor(from / MINUTE_MS), Math.floor(to / MINUTE_MS) + 1];
  const text = (minute: number) => new Date(minute * MINUTE_MS).toISOString();
  return href('map', { since: null, from: text(start), to: text(end) });
}
