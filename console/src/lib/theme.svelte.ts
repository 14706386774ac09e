// Light or dark: the system's choice until somebody makes one.

export type Theme = 'light' | 'dark';
const KEY = 'sekisho.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

class ThemeState {
  chosen = $state<Theme | null>(read());
  systemDark = $state(system.matches);
  get now(): Theme {
    return this.chosen ?? (this.systemDark ? 'dark' : 'light');
  }
}

function read(): Theme | null {
  const asked = new URLSearchParams(location.search).get('theme') ?? stored();
  return asked === 'light' || asked === 'dark' ? asked : null;
}

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

export const theme = new ThemeState();
system.addEventListener('change', () => {
  theme.systemDark = system.matches;
});

export function choose(next: Theme): void {
  theme.chosen = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // As above.
  }
}
