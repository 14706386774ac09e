// Numbers, sizes and times as people read them. Pure: language and moment are given.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

export function count(value: number, lang: string): string {
  return new Intl.NumberFormat(lang).format(value);
}

/** 12,345 as 12.3K, for places where a number must be short. */
export function short(value: number): string {
  if (value < 10_000) return String(value);
  if (value < 1_000_000) return `${(value / 1_000).toFixed(value < 100_000 ? 1 : 0)}K`;
  return `${(value / 1_000_000).toFixed(1)}M`;
}

/** A share of 1; never rounds up to 100 % what is not all. */
export function percent(ratio: number): string {
  if (ratio >= 1) return '100 %';
  return `${(Math.floor(ratio * 1_000) / 10).toFixed(1)} %`;
}

export function clock(text: string, lang: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return '–';
  return new Intl.DateTimeFormat(lang, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(at);
}

export function moment(text: string, lang: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return '–';
  return new Intl.DateTimeFormat(lang, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(at);
}

/** How long ago, in one unit. A clock that runs ahead gives 0, not a negative age. */
export function age(from: number, now: number): { value: number; unit: 's' | 'm' | 'h' | 'd' } {
  const s = Math.max(0, Math.floor((now - from) / 1_000));
  if (s < 60) return { value: s, unit: 's' };
  if (s < 3_600) return { value: Math.floor(s / 60), unit: 'm' };
  if (s < 172_800) return { value: Math.floor(s / 3_600), unit: 'h' };
  return { value: Math.floor(s / 86_400), unit: 'd' };
}

/**
 * Text of strangers (labels, DNS names) made harmless to read: no control or direction characters,
 * at most `most` characters. The DOM makes it harmless to run, as it is only ever text there.
 */
export function harmless(text: string, most = 120): string {
  // C0, C1, zero-width and bidirectional controls.
  const plain = text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu,
    '\ufffd',
  );
  const letters = [...plain];
  return letters.length <= most ? plain : `${letters.slice(0, most - 1).join('')}…`;
}
