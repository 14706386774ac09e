// The token bar of the flows: `verdict:denied to_port:5432`. Names are those of the API and, with
// dashes, of `sekisho observe`. Pure.

export const FIELDS = [
  'from_namespace',
  'to_namespace',
  'namespace',
  'from_workload',
  'to_workload',
  'workload',
  'from_pod',
  'to_pod',
  'pod',
  'from_ip',
  'to_ip',
  'to_fqdn',
  'to_port',
  'protocol',
  'verdict',
  'process',
  'decided_by',
] as const;
export type Field = (typeof FIELDS)[number];

export const VALUES: Partial<Record<Field, string[]>> = {
  verdict: ['allowed', 'denied', 'would_deny', 'unknown', 'dropped'],
  protocol: ['TCP', 'UDP', 'SCTP', 'ICMP'],
};

/** What people type for it. */
const SHORT: Record<string, Field> = {
  from: 'from_workload',
  to: 'to_workload',
  ns: 'namespace',
  port: 'to_port',
  proto: 'protocol',
  policy: 'decided_by',
  ip: 'to_ip',
  dns: 'to_fqdn',
};

export interface Token {
  field: Field;
  value: string;
}

/** Reads one token; null if its name is none or it has no value. Bare words are workloads. */
export function parse(text: string): Token | null {
  const trimmed = text.trim();
  const colon = trimmed.indexOf(':');
  if (colon < 0) return trimmed === '' ? null : { field: 'workload', value: trimmed };
  const name = trimmed.slice(0, colon).toLowerCase().replaceAll('-', '_');
  const value = trimmed.slice(colon + 1).trim();
  const field = SHORT[name] ?? FIELDS.find((one) => one === name);
  if (!field || value === '') return null;
  return { field, value: field === 'protocol' ? value.toUpperCase() : value };
}

/** What may come next after `text`, at most `most`. */
export function suggest(text: string, most = 12): string[] {
  const colon = text.indexOf(':');
  if (colon < 0) return FIELDS.filter((field) => field.includes(text.trim())).map((field) => `${field}:`).slice(0, most);
  const token = parse(`${text.slice(0, colon)}:x`);
  const start = text.slice(colon + 1).toLowerCase();
  const values = (token && VALUES[token.field]) ?? [];
  return values
    .filter((value) => value.toLowerCase().startsWith(start))
    .map((value) => `${text.slice(0, colon)}:${value}`)
    .slice(0, most);
}

function quoted(text: string): string {
  return /^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same question for a terminal. */
export function command(tokens: Token[], follow: boolean, cluster = ''): string {
  const words = ['sekisho observe'];
  if (cluster !== '') words.push(`--cluster ${quoted(cluster)}`);
  for (const { field, value } of tokens) {
    words.push(`--${field.replaceAll('_', '-')} ${quoted(value)}`);
  }
  if (follow) words.push('--follow');
  return words.join(' ');
}
