// The address is the state: what can be seen can be sent to a colleague as a link.

export const PAGES = [
  'home',
  'map',
  'flows',
  'workload',
  'recommendations',
  'policies',
  'inventory',
  'reports',
  'agents',
  'settings',
] as const;
export type Page = (typeof PAGES)[number];

/** What goes with a person from page to page. */
const CARRIED = ['since', 'from', 'to', 'cluster', 'lang'];

class Route {
  page = $state<Page>('home');
  query = $state.raw(new URLSearchParams());

  read(): void {
    const name = location.pathname.split('/')[1] ?? '';
    this.page = PAGES.find((page) => page === name) ?? 'home';
    this.query = new URLSearchParams(location.search);
  }

  get(name: string): string {
    return this.query.get(name) ?? '';
  }

  all(name: string): string[] {
    return this.query.getAll(name);
  }

  has(name: string): boolean {
    return this.query.has(name);
  }
}

export const route = new Route();

export type Changes = Record<string, string | string[] | null>;

function changed(query: URLSearchParams, changes: Changes): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    if (value === null || value === '') continue;
    for (const one of Array.isArray(value) ? value : [value]) next.append(name, one);
  }
  return next;
}

function path(page: Page): string {
  return page === 'home' ? '/' : `/${page}`;
}

function withQuery(page: Page, query: URLSearchParams): string {
  const text = query.toString();
  return path(page) + (text === '' ? '' : `?${text}`);
}

/** The address of `page` with `changes`, and with what is carried along. */
export function href(page: Page, changes: Changes = {}): string {
  const carried = new URLSearchParams();
  for (const name of CARRIED) {
    const value = route.query.get(name);
    if (value !== null) carried.set(name, value);
  }
  return withQuery(page, changed(carried, changes));
}

/** Goes to an address of ours. */
export function go(address: string): void {
  history.pushState(null, '', address);
  route.read();
  scrollTo(0, 0);
}

/** Changes the view of this page; `replace` where a step back should not undo it alone. */
export function set(changes: Changes, replace = false): void {
  const address = withQuery(route.page, changed(route.query, changes));
  if (replace) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  route.read();
}

/** Follows links without loading the page again; modified clicks stay the browser's. */
export function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || link.target !== '' || link.hasAttribute('download')) return;
  if (link.origin !== location.origin || link.pathname.startsWith('/api/')) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

/** The window of time that every question of this page is about. */
export function timeQuery(): Record<string, string> {
  const from = route.get('from');
  const to = route.get('to');
  const cluster = route.get('cluster');
  const where: Record<string, string> = cluster === '' ? {} : { cluster };
  if (from !== '' && to !== '') return { ...where, from, to };
  return { ...where, since: route.get('since') || '24h' };
}

/** True while the view ends now, not at a moment of the past. */
export function isLive(): boolean {
  return !(route.has('from') && route.has('to'));
}
