// What one node of the map stands for, and how one goes into it and back.

import type { Glyph } from '../api/types.ts';
import type { Changes } from './router.svelte.ts';

export const GROUPINGS = [
  'cluster',
  'namespace',
  'application',
  'environment',
  'node',
  'workload',
  'pod',
  'process',
] as const;
export type GroupWord = (typeof GROUPINGS)[number];

const LABEL = 'label:';
const DIMENSION = /^dimension:[a-z][a-z0-9_]{0,31}$/;
/** Groupings by dimensions of labels that are always offered. */
export const DIMENSIONS = ['dimension:role', 'dimension:location'];
const KEY = /^[\w.-]+(\/[\w.-]+)?$/;

export function isLabelKey(key: string): boolean {
  return key.length <= 317 && KEY.test(key);
}

/** What the address asks for, if it is a grouping: a word, `label:KEY`, or `dimension:NAME`. */
export function grouping(text: string): string | null {
  if (DIMENSION.test(text)) return text;
  if (text.startsWith(LABEL)) return isLabelKey(text.slice(LABEL.length)) ? text : null;
  return GROUPINGS.find((word) => word === text) ?? null;
}

/** The key of a grouping by label; null for any other. */
export function labelOf(by: string): string | null {
  return by.startsWith(LABEL) ? by.slice(LABEL.length) : null;
}

/** The name of a grouping by dimension; null for any other. */
export function dimensionOf(by: string): string | null {
  return DIMENSION.test(by) ? by.slice(by.indexOf(':') + 1) : null;
}

export function byLabel(key: string): string {
  return LABEL + key;
}

/** Kinds of nodes that stand for many workloads, or for a part of one. */
const NOT_WORKLOADS = ['Cluster', 'Namespace', 'Label', 'Dimension', 'Application', 'Node', 'Process'];

/** Whether a node has a page of its own. */
export function isWorkload(node: { kind: string; namespace: string }): boolean {
  return node.namespace !== '' && !NOT_WORKLOADS.includes(node.kind);
}

/** Its id without the cluster that it begins with on a map of several. */
function own(glyph: Pick<Glyph, 'id' | 'cluster'>): string {
  return glyph.cluster && glyph.id.startsWith(`${glyph.cluster}/`) ? glyph.id.slice(glyph.cluster.length + 1) : glyph.id;
}

/** Whether a workload is within the group of this id, as far as its labels tell; what is beside it is not. */
function holds(id: string, glyph: Pick<Glyph, 'namespace' | 'labels'>): boolean {
  const [, name, kind] = /^(.*)\[(\w+)\]$/s.exec(id) ?? [];
  if (name === undefined) return false;
  if (kind === 'Label') {
    const [key = '', ...value] = name.split('=');
    return name.startsWith('!') ? glyph.labels[name.slice(1)] === undefined : glyph.labels[key] === value.join('=');
  }
  return kind === 'Application' && Object.values(glyph.labels).some((value) => name === `${glyph.namespace}/${value}`);
}

/** What changes in the address when one goes into a node; null where there is nothing inside. */
export function into(
  glyph: Pick<Glyph, 'id' | 'cluster' | 'kind' | 'namespace' | 'name' | 'folded' | 'labels'>,
  by: string,
  within: string[],
): Changes | null {
  const clear: Changes = { node: null, edge: null, c: null, source: null, destination: null, pick: null };
  const where: Changes = glyph.cluster ? { ...clear, cluster: glyph.cluster } : clear;
  const deeper = (next: GroupWord): Changes => ({ ...where, by: next, within: [...within, own(glyph)] });
  if (glyph.folded > 0) return null;
  switch (glyph.kind) {
    case 'Cluster':
      return { ...clear, cluster: glyph.name, by: 'namespace' };
    case 'Namespace':
      return { ...where, by: 'workload', namespace: glyph.name };
    case 'Label':
    case 'Dimension':
      return deeper('workload');
    case 'Node':
      return by === 'node' ? deeper('workload') : null;
    case 'Application':
      return { ...deeper('workload'), namespace: glyph.namespace };
    case 'Process':
      return null;
    case 'Pod':
      return by === 'pod' ? deeper('process') : deeper('pod');
    default: {
      // A peer is beside what one is in: the way to it is another one.
      const way = [...within.filter((id) => holds(id, glyph)), own(glyph)];
      return glyph.namespace === '' ? null : { ...where, by: 'pod', namespace: glyph.namespace, within: way };
    }
  }
}

/** One step on the way down to what is shown. */
export interface Crumb {
  text: string;
  /** What the address is there. */
  to: Changes;
}

/** What is inside a node of this id. */
function inside(id: string): GroupWord {
  const kind = /\[(\w+)\]$/.exec(id)?.[1] ?? '';
  if (kind === 'Pod') return 'process';
  return ['Label', 'Dimension', 'Node', 'Application', 'Namespace'].includes(kind) ? 'workload' : 'pod';
}

/** The way from the whole to what is shown; the last one is where one is. */
export function crumbs(at: { all: string; cluster: string; several: boolean; namespaces: string[]; within: string[] }): Crumb[] {
  const up: Changes = { node: null, edge: null, c: null, source: null, destination: null, pick: null };
  const root: Changes = { ...up, by: null, namespace: null, within: null };
  const way: Crumb[] = [{ text: at.all, to: at.several ? { ...root, cluster: null } : root }];
  if (at.cluster !== '' && at.several) way.push({ text: at.cluster, to: root });
  if (at.namespaces.length > 0) {
    way.push({ text: at.namespaces.join(', '), to: { ...up, by: 'workload', within: null, namespace: at.namespaces } });
  }
  at.within.forEach((id, index) => {
    const within = at.within.slice(0, index + 1);
    way.push({ text: id, to: { ...up, by: inside(id), within } });
  });
  return way;
}
