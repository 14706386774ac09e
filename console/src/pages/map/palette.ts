// The design system's colours, read for the canvas.

import type { Palette } from '../../graph/draw.ts';

export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    bg: of('--bg'),
    panel: of('--panel'),
    sunken: of('--sunken'),
    line: of('--line'),
    strong: of('--line-strong'),
    ink: of('--ink'),
    soft: of('--soft'),
    accent: of('--accent'),
    allowed: of('--allowed'),
    would: of('--would'),
    denied: of('--denied'),
    unknown: of('--unknown'),
    font: of('--sans'),
  };
}
