// Where the lines of a scene run and what is near a point. Pure; shared by the worker that draws, the
// pointer, and the SVG export.

import type { AreaKind, Glyph, Scene, SceneEdge, Verdict } from '../api/types.ts';
import { type Layer, type Look, lookOf, processes } from './looks.ts';

/** The scene's point at the left top of the view, and pixels per unit of the scene. */
export interface Camera {
  x: number;
  y: number;
  k: number;
}

export interface Size {
  width: number;
  height: number;
}

/** A quadratic curve from the rim of one glyph to the rim of another. */
export interface Curve {
  x0: number;
  y0: number;
  cx: number;
  cy: number;
  x1: number;
  y1: number;
}

export interface Line {
  id: string;
  source: string;
  destination: string;
  verdict: Verdict;
  connections: number;
  look: Look;
  /** What is written beside it, where there is room; empty = nothing. */
  text: string;
  curve: Curve;
}

export interface Dot {
  id: string;
  name: string;
  kind: string;
  state: Glyph['state'];
  ingress: Glyph['ingress'];
  egress: Glyph['egress'];
  pods: number;
  x: number;
  y: number;
  r: number;
}

/** What a scene needs to be drawn; plain data, so that it can be sent to a worker. */
export interface Picture {
  layer: Layer;
  areas: Scene['areas'];
  dots: Dot[];
  lines: Line[];
}

/** What is called by the reader's language: areas without a name, and many addresses. */
export interface Titles {
  area: Record<AreaKind, string>;
  addresses: (count: number) => string;
}

export const K_MIN = 0.02;
export const K_MAX = 4;
const ARROW = 5;

/** The curve of an edge: bent to its right, so that there and back are two lines, more so by `slot`. */
export function curve(a: Dot, b: Dot, slot: number): Curve {
  if (a.id === b.id) {
    const out = a.r + 16 + 8 * slot;
    return { x0: a.x - a.r * 0.6, y0: a.y - a.r * 0.8, cx: a.x, cy: a.y - 2 * out, x1: a.x + a.r * 0.6, y1: a.y - a.r * 0.8 };
  }
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const length = Math.hypot(dx, dy) || 1;
  const bend = Math.min(length * 0.12, 60) + slot * 14;
  const cx = (a.x + b.x) / 2 - (dy / length) * bend;
  const cy = (a.y + b.y) / 2 + (dx / length) * bend;
  const from = rim(a, cx, cy, a.r + 1);
  const to = rim(b, cx, cy, b.r + ARROW);
  return { x0: from.x, y0: from.y, cx, cy, x1: to.x, y1: to.y };
}

function rim(dot: Dot, x: number, y: number, r: number): { x: number; y: number } {
  const length = Math.hypot(x - dot.x, y - dot.y) || 1;
  return { x: dot.x + ((x - dot.x) / length) * r, y: dot.y + ((y - dot.y) / length) * r };
}

export function pointAt(c: Curve, t: number): { x: number; y: number } {
  const u = 1 - t;
  return {
    x: u * u * c.x0 + 2 * u * t * c.cx + t * t * c.x1,
    y: u * u * c.y0 + 2 * u * t * c.cy + t * t * c.y1,
  };
}

const ORDER: Record<Verdict, number> = { allowed: 0, unknown: 1, would_deny: 2, denied: 3 };

/** Prepares a scene: edges of `verdicts` only, what matters most drawn last, so on top. */
export function picture(scene: Scene, verdicts: ReadonlySet<Verdict>, titles: Titles, layer: Layer = 'verdict'): Picture {
  const dots: Dot[] = scene.glyphs.map(({ id, name, kind, state, ingress, egress, pods, folded, x, y, r }) => ({
    id,
    name: folded > 0 ? titles.addresses(folded) : name,
    kind,
    state,
    ingress,
    egress,
    pods,
    x,
    y,
    r,
  }));
  const byId = new Map(dots.map((dot) => [dot.id, dot]));
  const slots = new Map<string, number>();
  const lines: Line[] = [];
  const edges = scene.edges.filter((edge) => verdicts.has(edge.verdict));
  edges.sort((a, b) => ORDER[a.verdict] - ORDER[b.verdict]);
  for (const edge of edges) {
    const a = byId.get(edge.source);
    const b = byId.get(edge.destination);
    if (!a || !b) continue;
    const pair = `${edge.source}\n${edge.destination}`;
    const slot = slots.get(pair) ?? 0;
    slots.set(pair, slot + 1);
    lines.push(line(edge, curve(a, b, slot), layer));
  }
  const areas = scene.areas.map((area) => (area.name === '' ? { ...area, name: titles.area[area.kind] } : area));
  return { layer, areas, dots, lines };
}

function line(edge: SceneEdge, curve: Curve, layer: Layer): Line {
  const { id, source, destination, verdict, connections } = edge;
  const text = layer === 'process' && edge.ends_seen > 0 ? processes(edge) : '';
  return { id, source, destination, verdict, connections, look: lookOf(edge, layer), text, curve };
}

/** Width of a line in pixels: thin for one connection, a little more for each power of ten. */
export function lineWidth(connections: number): number {
  return Math.min(3, 0.75 + 0.4 * Math.log10(Math.max(1, connections)));
}

/** What a picture looks like, as a short text: while it stays, nothing has to be drawn again. */
export function looks(picture: Picture): string {
  let hash = 17;
  const mix = (text: string) => {
    for (let at = 0; at < text.length; at += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  };
  for (const area of picture.areas) mix(`${area.id}${area.name}${area.x},${area.y},${area.w},${area.h}`);
  for (const dot of picture.dots) mix(`${dot.id}${dot.name}${dot.state}${dot.ingress}${dot.egress}${dot.pods}${dot.x},${dot.y},${dot.r}`);
  for (const line of picture.lines) mix(line.id + line.look + line.text + lineWidth(line.connections).toFixed(1));
  return `${picture.layer} ${picture.dots.length} ${picture.lines.length} ${hash}`;
}

/** The camera that shows all of a scene, with room around it. */
export function fit(box: { x: number; y: number; width: number; height: number }, view: Size): Camera {
  const room = 24;
  const k = Math.min(
    1.4,
    Math.max(
      K_MIN,
      Math.min((view.width - 2 * room) / Math.max(1, box.width), (view.height - 2 * room) / Math.max(1, box.height)),
    ),
  );
  return {
    x: box.x + box.width / 2 - view.width / 2 / k,
    y: box.y + box.height / 2 - view.height / 2 / k,
    k,
  };
}

/** Zooms by `factor` around a point of the view, which stays where it is. */
export function zoom(camera: Camera, factor: number, px: number, py: number): Camera {
  const k = Math.min(K_MAX, Math.max(K_MIN, camera.k * factor));
  return { k, x: camera.x + px / camera.k - px / k, y: camera.y + py / camera.k - py / k };
}

/** The glyph at a point of the scene, at most `slack` beyond its rim. */
export function dotAt(picture: Picture, x: number, y: number, slack: number): Dot | null {
  let best: Dot | null = null;
  let nearest = Infinity;
  for (const dot of picture.dots) {
    const distance = Math.hypot(dot.x - x, dot.y - y) - dot.r;
    if (distance <= slack && distance < nearest) {
      best = dot;
      nearest = distance;
    }
  }
  return best;
}

const SAMPLES = 16;

/** The line nearest to a point of the scene, at most `slack` away. */
export function lineAt(picture: Picture, x: number, y: number, slack: number): Line | null {
  let best: Line | null = null;
  let nearest = slack;
  for (const line of picture.lines) {
    const c = line.curve;
    if (x < Math.min(c.x0, c.cx, c.x1) - slack || x > Math.max(c.x0, c.cx, c.x1) + slack) continue;
    if (y < Math.min(c.y0, c.cy, c.y1) - slack || y > Math.max(c.y0, c.cy, c.y1) + slack) continue;
    let from = { x: c.x0, y: c.y0 };
    for (let step = 1; step <= SAMPLES; step += 1) {
      const to = pointAt(c, step / SAMPLES);
      const distance = toSegment(x, y, from.x, from.y, to.x, to.y);
      if (distance <= nearest) {
        nearest = distance;
        best = line;
      }
      from = to;
    }
  }
  return best;
}

function toSegment(x: number, y: number, x0: number, y0: number, x1: number, y1: number): number {
  const dx = x1 - x0;
  const dy = y1 - y0;
  const square = dx * dx + dy * dy;
  const t = square === 0 ? 0 : Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / square));
  return Math.hypot(x - x0 - t * dx, y - y0 - t * dy);
}

/** The next glyph from `from` in a direction: near and in line wins. For the arrow keys. */
export function towards(picture: Picture, from: Dot, dx: number, dy: number): Dot | null {
  let best: Dot | null = null;
  let least = Infinity;
  for (const dot of picture.dots) {
    const along = (dot.x - from.x) * dx + (dot.y - from.y) * dy;
    const across = Math.abs((dot.x - from.x) * dy) + Math.abs((dot.y - from.y) * dx);
    if (along <= 0 || dot.id === from.id) continue;
    const cost = along + 2.5 * across;
    if (cost < least) {
      least = cost;
      best = dot;
    }
  }
  return best;
}
