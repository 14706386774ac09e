// How long a policy still lasts.

export type Left = { over: boolean; value: number; unit: 'm' | 'h' | 'd' };

/** Rounded down, so that nobody counts on a time that is not there; null where nothing ends. */
export function remaining(expires: string | null, now: number): Left | null {
  if (expires === null) return null;
  const ms = new Date(expires).getTime() - now;
  if (Number.isNaN(ms)) return null;
  if (ms <= 0) return { over: true, value: 0, unit: 'm' };
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 120) return { over: false, value: minutes, unit: 'm' };
  if (minutes < 2_880) return { over: false, value: Math.floor(minutes / 60), unit: 'h' };
  return { over: false, value: Math.floor(minutes / 1_440), unit: 'd' };
}
