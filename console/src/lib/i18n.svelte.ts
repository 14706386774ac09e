// Texts in the language of who reads them. Both catalogues have the same keys: the compiler sees to
// it, and `npm run check` that they name the same values.

import { en } from './en.ts';
import { ja } from './ja.ts';

export const LANGUAGES = { en: 'English', ja: '日本語' } as const;
export type Language = keyof typeof LANGUAGES;
export type Key = keyof typeof en;

const KEY = 'sekisho.lang';
const CATALOGUES: Record<Language, Record<Key, string>> = { en, ja };

function isLanguage(text: string): text is Language {
  return text === 'en' || text === 'ja';
}

function first(): Language {
  const asked: string[] = [];
  const url = new URLSearchParams(location.search).get('lang');
  if (url) asked.push(url);
  try {
    const stored = localStorage.getItem(KEY);
    if (stored) asked.push(stored);
  } catch {
    // Storage may be forbidden.
  }
  asked.push(...navigator.languages);
  for (const text of asked) {
    const short = text.slice(0, 2).toLowerCase();
    if (isLanguage(short)) return short;
  }
  return 'en';
}

class LanguageState {
  now = $state<Language>(first());
}

export const lang = new LanguageState();

export function speak(next: Language): void {
  lang.now = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // As above.
  }
}

/** The text of `key` with `{name}` replaced by `values.name`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text: string = CATALOGUES[lang.now][key];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
