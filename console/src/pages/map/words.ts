// What a layer tells, in words: for tips, tables and those who do not see lines.

import type { Glyph, SceneEdge } from '../../api/types.ts';
import { type Layer, processes } from '../../graph/looks.ts';
import { harmless } from '../../lib/format.ts';
import { t } from '../../lib/i18n.svelte.ts';

/** What policies select a node, of both directions where they differ. */
export function covered(node: Pick<Glyph, 'state' | 'ingress' | 'egress'>): string {
  if (node.ingress === node.egress) return t(`state.${node.state}`);
  return `${t('col.ingress')}: ${t(`state.${node.ingress}`)}, ${t('col.egress')}: ${t(`state.${node.egress}`)}`;
}

/** What a layer tells of an edge beside its verdict; empty where that is nothing. */
export function told(edge: SceneEdge, layer: Layer): string {
  switch (layer) {
    case 'verdict':
    case 'coverage':
      return '';
    case 'process':
      return harmless(processes(edge), 120);
    case 'encryption':
      return t(`encryption.${edge.encryption}`);
  }
}
