// Words about labels that several parts of the screen say.

import type { AssetValue, LabelLayer } from '../../api/types.ts';
import { harmless } from '../../lib/format.ts';
import { t } from '../../lib/i18n.svelte.ts';

export function layer(of: LabelLayer): string {
  return t(`layer.of.${of}`);
}

/** Who says what, in a line each: for a tooltip. */
export function sources(value: AssetValue): string {
  return value.said.map((one) => `${layer(one.layer)}: ${harmless(one.value, 60)} (${harmless(one.source, 80)})`).join('\n');
}

/** What the address of a map asks for. */
export function byDimension(name: string): string {
  return name === 'application' || name === 'environment' ? name : `dimension:${name}`;
}
