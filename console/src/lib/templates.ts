// Templates as the address has them, and their words in the language of who reads them.

import type { Template, TemplateParameter } from '../api/types.ts';
import { en } from './en.ts';
import { type Key, t } from './i18n.svelte.ts';

export const PURPOSES = ['start', 'separate', 'protect', 'border', 'forbid', 'access'] as const;

/** A text that a newer server may not have here: its own words then. */
function said(key: string, otherwise: string): string {
  return key in en ? t(key as Key) : otherwise;
}

export function title(name: string): string {
  return said(`template.${name}`, name);
}

export function what(template: Template): string {
  return said(`what_for.${template.name}`, template.what);
}

export function ask(parameter: TemplateParameter): string {
  return said(`ask.${parameter.name}`, parameter.name);
}

export function word(text: string): string {
  return said(`word.${text}`, text);
}

/** The name of a template in an address; the map says `ring-fence`. */
export function nameOf(text: string): string {
  if (text === 'ring-fence') return 'namespace';
  return text.replace(/^ring-fence-/, '') || 'least-privilege';
}

/** `key=value` pairs of the address as one text for each key. */
export function settings(pairs: string[]): Record<string, string> {
  const all: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at > 0) all[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return all;
}

/** The same as pairs, without what is empty. */
export function pairs(all: Record<string, string>): string[] {
  return Object.entries(all)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}=${value}`);
}

export function values(text: string | undefined): string[] {
  return (text ?? '').split(',').map((one) => one.trim()).filter((one) => one !== '');
}

/** What must be given and is not. */
export function lacking(template: Template, given: Record<string, string>): TemplateParameter[] {
  return template.parameters.filter((one) => one.needed && values(given[one.name]).length === 0);
}
