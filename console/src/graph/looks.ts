// What a line looks like on each layer: a colour and a pattern, never a colour alone.

import type { SceneEdge } from '../api/types.ts';

/** What lines and glyphs tell. */
export const LAYERS = ['verdict', 'coverage', 'process', 'encryption'] as const;
export type Layer = (typeof LAYERS)[number];

export type Look =
  | 'allowed'
  | 'would_deny'
  | 'denied'
  | 'unknown'
  | 'faint'
  | 'seen_both'
  | 'seen_one'
  | 'seen_none'
  | 'encrypted'
  | 'clear'
  | 'mixed'
  | 'unsure';

/** Names of the palette's colours that lines have. */
export type Tone = 'allowed' | 'would' | 'denied' | 'unknown' | 'accent' | 'strong';

export interface Style {
  tone: Tone;
  /** Lengths of dashes and gaps in pixels; empty = solid. */
  dash: number[];
  alpha: number;
}

const DASHED = [7, 4];
const DOTTED = [1.5, 3.5];
const DASH_DOT = [8, 3, 1.5, 3];

export const STYLES: Record<Look, Style> = {
  allowed: { tone: 'allowed', dash: [], alpha: 0.7 },
  would_deny: { tone: 'would', dash: DASHED, alpha: 1 },
  denied: { tone: 'denied', dash: [], alpha: 1 },
  unknown: { tone: 'unknown', dash: DOTTED, alpha: 1 },
  faint: { tone: 'strong', dash: [], alpha: 0.45 },
  seen_both: { tone: 'accent', dash: [], alpha: 0.75 },
  seen_one: { tone: 'would', dash: DASHED, alpha: 1 },
  seen_none: { tone: 'unknown', dash: DOTTED, alpha: 1 },
  encrypted: { tone: 'accent', dash: [], alpha: 0.8 },
  clear: { tone: 'would', dash: DASHED, alpha: 1 },
  mixed: { tone: 'would', dash: DASH_DOT, alpha: 1 },
  unsure: { tone: 'unknown', dash: DOTTED, alpha: 1 },
};

/** How an edge is drawn on a layer. */
export function lookOf(edge: Pick<SceneEdge, 'verdict' | 'ends_seen' | 'encryption'>, layer: Layer): Look {
  switch (layer) {
    case 'verdict':
      return edge.verdict;
    case 'coverage':
      return 'faint';
    case 'process':
      return edge.ends_seen >= 2 ? 'seen_both' : edge.ends_seen === 1 ? 'seen_one' : 'seen_none';
    case 'encryption':
      return edge.encryption === 'unknown' ? 'unsure' : edge.encryption;
  }
}

/** The last part of a path: `/usr/bin/nginx` is nginx. */
function base(path: string): string {
  return path.split('/').at(-1) || path;
}

function some(paths: readonly string[]): string {
  const [first, ...rest] = paths;
  if (first === undefined) return '?';
  return rest.length > 0 ? `${base(first)} +${rest.length}` : base(first);
}

/** The executables at both ends of an edge, in few letters. */
export function processes(edge: Pick<SceneEdge, 'source_processes' | 'destination_processes'>): string {
  return `${some(edge.source_processes)} → ${some(edge.destination_processes)}`;
}
