// Draws a picture on a 2D canvas. Runs in the worker; pure but for the canvas.
//
// What keeps it fast without a GPU: lines of one style are one path; a wide line is some lines of one
// device pixel side by side, as a wide stroke costs ten times what these do together, and where there
// are many, one; dashed lines are cut to the view before they are dashed, as dashing costs by length,
// seen or not.

import { type Camera, type Curve, type Dot, type Line, lineWidth, type Picture, pointAt } from './geometry.ts';
import { type Look, STYLES } from './looks.ts';

export interface Palette {
  bg: string;
  panel: string;
  sunken: string;
  line: string;
  strong: string;
  ink: string;
  soft: string;
  accent: string;
  allowed: string;
  would: string;
  denied: string;
  unknown: string;
  font: string;
}

export interface View {
  camera: Camera;
  /** Size in CSS pixels, with the margin. */
  width: number;
  height: number;
  dpr: number;
  palette: Palette;
}

export type Context = OffscreenCanvasRenderingContext2D;

/** Beyond it all lines are hairlines, and lines have no heads. */
const MANY_LINES = 2_500;
/** Beyond it dashed lines are hairlines with longer dashes. */
const MANY_DASHED = 250;
/** Width of a hairline, device pixels: by a rounding error more than one is a wide stroke. */
const HAIR = 0.99;
const LABEL_K = 0.5;
/** From this scale on lines have texts, and so many. */
const TEXT_K = 0.5;
const TEXTS_MAX = 250;

interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** Draws all of `picture` that `view` shows. */
export function draw(ctx: Context, picture: Picture, view: View): void {
  const { camera, dpr, palette, width, height } = view;
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.fillStyle = palette.bg;
  ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  const s = camera.k * dpr;
  ctx.setTransform(s, 0, 0, s, -camera.x * s, -camera.y * s);
  const box: Box = {
    x0: camera.x,
    y0: camera.y,
    x1: camera.x + width / camera.k,
    y1: camera.y + height / camera.k,
  };
  areas(ctx, picture, view, box);
  lines(ctx, picture, view, box);
  dots(ctx, picture, view, box);
  labels(ctx, picture, view, box);
  texts(ctx, picture, view, box);
}

function areas(ctx: Context, picture: Picture, view: View, box: Box): void {
  const { palette, camera, dpr } = view;
  const hair = 1 / (camera.k * dpr);
  for (const area of picture.areas) {
    if (area.x > box.x1 || area.y > box.y1 || area.x + area.w < box.x0 || area.y + area.h < box.y0) continue;
    ctx.beginPath();
    ctx.roundRect(area.x, area.y, area.w, area.h, 6);
    ctx.fillStyle = area.kind === 'cluster' ? palette.sunken : palette.panel;
    ctx.fill();
    ctx.strokeStyle = area.kind === 'cluster' ? palette.strong : palette.line;
    ctx.lineWidth = hair;
    ctx.setLineDash(area.kind === 'external' ? [4 / camera.k, 4 / camera.k] : []);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

function outside(c: Curve, box: Box): boolean {
  return (
    Math.max(c.x0, c.cx, c.x1) < box.x0 ||
    Math.min(c.x0, c.cx, c.x1) > box.x1 ||
    Math.max(c.y0, c.cy, c.y1) < box.y0 ||
    Math.min(c.y0, c.cy, c.y1) > box.y1
  );
}

/** Adds the parts of a curve that are in the box, as straight pieces. */
function clipped(ctx: Context, c: Curve, box: Box, k: number): void {
  const length = Math.hypot(c.x1 - c.x0, c.y1 - c.y0) * k;
  const pieces = Math.max(6, Math.min(48, Math.ceil(length / 20)));
  let from = { x: c.x0, y: c.y0 };
  let drawn = false;
  for (let piece = 1; piece <= pieces; piece += 1) {
    const to = pointAt(c, piece / pieces);
    const seen =
      Math.max(from.x, to.x) >= box.x0 &&
      Math.min(from.x, to.x) <= box.x1 &&
      Math.max(from.y, to.y) >= box.y0 &&
      Math.min(from.y, to.y) <= box.y1;
    if (seen) {
      if (!drawn) ctx.moveTo(from.x, from.y);
      ctx.lineTo(to.x, to.y);
    }
    drawn = seen;
    from = to;
  }
}

function lines(ctx: Context, picture: Picture, view: View, box: Box): void {
  const { camera, palette, dpr } = view;
  const many = picture.lines.length > MANY_LINES;
  const px = 1 / camera.k;
  const isDashed = (line: Line) => STYLES[line.look].dash.length > 0;
  const dashed = picture.lines.reduce((sum, line) => sum + (isDashed(line) ? 1 : 0), 0);
  const groups = new Map<string, { look: Look; isDenied: boolean; width: number; curves: Curve[] }>();
  for (const line of picture.lines) {
    if (outside(line.curve, box)) continue;
    const thin = many || (dashed > MANY_DASHED && isDashed(line));
    const isDenied = line.verdict === 'denied';
    const width = thin ? HAIR / dpr : Math.round(lineWidth(line.connections) * 2) / 2;
    const key = `${line.look} ${isDenied} ${width}`;
    const group = groups.get(key);
    if (group) group.curves.push(line.curve);
    else groups.set(key, { look: line.look, isDenied, width, curves: [line.curve] });
  }
  for (const { look, isDenied, width, curves } of groups.values()) {
    const style = STYLES[look];
    ctx.strokeStyle = palette[style.tone];
    ctx.fillStyle = ctx.strokeStyle;
    ctx.globalAlpha = many && style.alpha < 1 ? style.alpha * 0.65 : style.alpha;
    // Dashes of hundreds of lines are nowhere seen one by one: they may be fewer.
    const dashes = style.dash.map((length) => length * px * (dashed > MANY_DASHED ? 2 : 1));
    ctx.beginPath();
    if (dashes.length > 0) {
      ctx.lineWidth = width * px;
      ctx.setLineDash(dashes);
      for (const c of curves) clipped(ctx, c, box, camera.k);
    } else {
      ctx.lineWidth = (HAIR * px) / dpr;
      const hairs = Math.max(1, Math.round(width * dpr));
      for (let hair = 0; hair < hairs; hair += 1) {
        const aside = (hair - (hairs - 1) / 2) * (px / dpr);
        for (const c of curves) beside(ctx, c, aside);
      }
    }
    ctx.stroke();
    ctx.setLineDash([]);
    if (isDenied) {
      // On each layer: what was stopped is never only a line of that layer.
      ctx.strokeStyle = palette.denied;
      ctx.globalAlpha = 1;
    }
    if (!many || isDenied) heads(ctx, curves, isDenied, px, width);
  }
  ctx.globalAlpha = 1;
}

/** Adds a curve, moved aside. */
function beside(ctx: Context, c: Curve, aside: number): void {
  // The normal of the chord will do: curves are bent a little only.
  const length = Math.hypot(c.x1 - c.x0, c.y1 - c.y0) || 1;
  const dx = (-(c.y1 - c.y0) / length) * aside;
  const dy = ((c.x1 - c.x0) / length) * aside;
  ctx.moveTo(c.x0 + dx, c.y0 + dy);
  ctx.quadraticCurveTo(c.cx + dx, c.cy + dy, c.x1 + dx, c.y1 + dy);
}

/** Arrow heads; a bar where the connection was stopped. */
function heads(ctx: Context, curves: Curve[], isDenied: boolean, px: number, width: number): void {
  const size = Math.min(7 * px, 7) * (1 + (width - 1) * 0.15);
  ctx.beginPath();
  for (const c of curves) {
    const angle = Math.atan2(c.y1 - c.cy, c.x1 - c.cx);
    const cos = Math.cos(angle);
    const sin = Math.sin(angle);
    if (isDenied) {
      ctx.moveTo(c.x1 - sin * size, c.y1 + cos * size);
      ctx.lineTo(c.x1 + sin * size, c.y1 - cos * size);
    } else {
      const tip = { x: c.x1 + cos * 4, y: c.y1 + sin * 4 };
      ctx.moveTo(tip.x, tip.y);
      ctx.lineTo(tip.x - cos * size - sin * size * 0.5, tip.y - sin * size + cos * size * 0.5);
      ctx.lineTo(tip.x - cos * size + sin * size * 0.5, tip.y - sin * size - cos * size * 0.5);
    }
  }
  if (isDenied) {
    ctx.lineWidth = 3 * px;
    ctx.stroke();
  } else ctx.fill();
}

/** The outline of a glyph: its shape says what kind of thing it is. */
export function outline(kind: string): 'circle' | 'square' | 'diamond' | 'hexagon' {
  switch (kind) {
    case 'StatefulSet':
    case 'Namespace':
    case 'Host':
    case 'Node':
      return 'square';
    case 'CronJob':
    case 'Job':
      return 'diamond';
    case 'DaemonSet':
    case 'Service':
      return 'hexagon';
    default:
      return 'circle';
  }
}

function trace(ctx: Context, dot: Dot, r: number): void {
  switch (outline(dot.kind)) {
    case 'circle':
      ctx.moveTo(dot.x + r, dot.y);
      ctx.arc(dot.x, dot.y, r, 0, 2 * Math.PI);
      break;
    case 'square':
      ctx.roundRect(dot.x - r * 0.9, dot.y - r * 0.9, r * 1.8, r * 1.8, r * 0.25);
      break;
    case 'diamond':
      polygon(ctx, dot, r * 1.15, 4, 0);
      break;
    case 'hexagon':
      polygon(ctx, dot, r * 1.05, 6, 0);
      break;
  }
}

function polygon(ctx: Context, dot: Dot, r: number, corners: number, turn: number): void {
  for (let corner = 0; corner < corners; corner += 1) {
    const angle = turn + (corner * 2 * Math.PI) / corners;
    const [x, y] = [dot.x + Math.cos(angle) * r, dot.y + Math.sin(angle) * r];
    if (corner === 0) ctx.moveTo(x, y);
    else ctx.lineTo(x, y);
  }
  ctx.closePath();
}

function dots(ctx: Context, picture: Picture, view: View, box: Box): void {
  const { palette, camera } = view;
  const seen = picture.dots.filter(
    (dot) => dot.x + dot.r >= box.x0 && dot.x - dot.r <= box.x1 && dot.y + dot.r >= box.y0 && dot.y - dot.r <= box.y1,
  );
  ctx.beginPath();
  for (const dot of seen) trace(ctx, dot, dot.r);
  ctx.fillStyle = palette.panel;
  ctx.fill();
  for (const plain of [false, true]) {
    const ones = seen.filter((dot) => plain === (dot.state === 'external' || dot.state === 'unknown'));
    ctx.beginPath();
    for (const dot of ones) trace(ctx, dot, dot.r);
    ctx.strokeStyle = plain ? palette.strong : palette.ink;
    ctx.lineWidth = plain ? Math.max(1, 1 / camera.k) : 1.6;
    ctx.stroke();
  }
  const halves = picture.layer === 'coverage' ? HALVES : WHOLE;
  for (const { of, from, to } of halves) {
    const core = (dot: Dot, r: number) => {
      if (picture.layer !== 'coverage') trace(ctx, dot, r);
      else {
        ctx.moveTo(dot.x, dot.y - r);
        ctx.arc(dot.x, dot.y, r, from, to, to < from);
        ctx.closePath();
      }
    };
    ctx.beginPath();
    for (const dot of seen) if (dot[of] === 'enforced') core(dot, dot.r - 3.5);
    ctx.fillStyle = palette.accent;
    ctx.fill();
    ctx.beginPath();
    for (const dot of seen) if (dot[of] === 'staged') core(dot, dot.r - 4);
    ctx.strokeStyle = palette.would;
    ctx.lineWidth = 2;
    ctx.stroke();
  }
}

interface Part {
  of: 'state' | 'ingress' | 'egress';
  from: number;
  to: number;
}

const WHOLE: Part[] = [{ of: 'state', from: 0, to: 2 * Math.PI }];
/** The left half tells of what comes, the right half of what goes. */
const HALVES: Part[] = [
  { of: 'ingress', from: -Math.PI / 2, to: -1.5 * Math.PI },
  { of: 'egress', from: -Math.PI / 2, to: Math.PI / 2 },
];

/** A text that was cut to its room, and how wide it is. */
interface Fitted {
  text: string;
  width: number;
}

const known = new Map<string, Fitted>();
const CACHE_MAX = 20_000;

/** `text` cut in the middle to `room` pixels: names differ at their ends. */
function fitted(ctx: Context, text: string, room: number): Fitted {
  const key = `${ctx.font}|${Math.round(room / 8)}|${text}`;
  const before = known.get(key);
  if (before) return before;
  const measured = (one: string): Fitted => ({ text: one, width: ctx.measureText(one).width });
  let result = measured(text);
  if (result.width > room) {
    let [low, high] = [1, text.length];
    while (low < high) {
      const keep = (low + high + 1) >> 1;
      if (ctx.measureText(cut(text, keep)).width <= room) low = keep;
      else high = keep - 1;
    }
    result = measured(cut(text, low));
  }
  if (known.size > CACHE_MAX) known.clear();
  known.set(key, result);
  return result;
}

export function cut(text: string, keep: number): string {
  if (text.length <= keep) return text;
  const head = Math.ceil((keep - 1) * 0.6);
  return `${text.slice(0, head)}…${text.slice(text.length - (keep - 1 - head))}`;
}

function labels(ctx: Context, picture: Picture, view: View, box: Box): void {
  const { palette, camera, dpr } = view;
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  const at = (x: number, y: number): [number, number] => [(x - camera.x) * camera.k, (y - camera.y) * camera.k];
  ctx.textBaseline = 'alphabetic';
  ctx.textAlign = 'left';
  ctx.font = `600 12px ${palette.font}`;
  for (const area of picture.areas) {
    const [x, y] = at(area.x, area.y);
    const room = area.w * camera.k - 20;
    if (room < 24 || area.h * camera.k < 18 || x > view.width || y > view.height) continue;
    const { text, width } = fitted(ctx, area.name, room);
    const line = y + Math.min(20, Math.max(13, 20 * camera.k));
    ground(ctx, area.kind === 'cluster' ? palette.sunken : palette.panel, x + 10, line, width);
    ctx.fillStyle = palette.soft;
    ctx.fillText(text, x + 10, line);
  }
  if (camera.k < LABEL_K) return;
  ctx.font = `11px ${palette.font}`;
  for (const dot of picture.dots) {
    if (dot.x < box.x0 || dot.x > box.x1 || dot.y < box.y0 - 40 || dot.y > box.y1 + 40) continue;
    const [x, y] = at(dot.x, dot.y + dot.r);
    const many = dot.pods > 1 ? ` ×${dot.pods}` : '';
    const name = fitted(ctx, dot.name, 142 * camera.k - many.length * 7);
    const width = name.width + many.length * 6;
    ground(ctx, palette.panel, x - width / 2, y + 13, width);
    ctx.fillStyle = dot.state === 'external' ? palette.soft : palette.ink;
    ctx.fillText(name.text + many, x - width / 2, y + 13);
  }
}

/** What a label stands on, so that it is read over lines: a halo around each letter costs far more. */
function ground(ctx: Context, colour: string, x: number, baseline: number, width: number): void {
  ctx.globalAlpha = 0.82;
  ctx.fillStyle = colour;
  ctx.fillRect(x - 2, baseline - 10, width + 4, 13);
  ctx.globalAlpha = 1;
}

/** What is written beside lines: only where it hides no other text of its kind. */
function texts(ctx: Context, picture: Picture, view: View, box: Box): void {
  const { palette, camera } = view;
  if (picture.layer !== 'process' || camera.k < TEXT_K) return;
  ctx.font = `10px ${palette.font}`;
  // Names of nodes come first.
  const taken: Box[] = picture.dots.flatMap((dot) => {
    const [x, y] = [(dot.x - camera.x) * camera.k, (dot.y - camera.y) * camera.k];
    const r = dot.r * camera.k;
    if (x < -80 || y < -80 || x > view.width + 80 || y > view.height + 80) return [];
    return [{ x0: x - 40, y0: y - r, x1: x + 40, y1: y + r + 17 }];
  });
  const most = taken.length + TEXTS_MAX;
  for (const line of picture.lines) {
    if (line.text === '' || outside(line.curve, box)) continue;
    const middle = pointAt(line.curve, 0.5);
    const [x, y] = [(middle.x - camera.x) * camera.k, (middle.y - camera.y) * camera.k];
    const length = Math.hypot(line.curve.x1 - line.curve.x0, line.curve.y1 - line.curve.y0) * camera.k;
    const { text, width } = fitted(ctx, line.text, Math.min(180, length * 0.8));
    const own: Box = { x0: x - width / 2 - 2, y0: y - 9, x1: x + width / 2 + 2, y1: y + 4 };
    if (width < 12 || taken.some((one) => one.x0 < own.x1 && one.x1 > own.x0 && one.y0 < own.y1 && one.y1 > own.y0)) continue;
    if (taken.length >= most) return;
    taken.push(own);
    ground(ctx, palette.panel, x - width / 2, y, width);
    ctx.fillStyle = palette.soft;
    ctx.fillText(text, x - width / 2, y);
  }
}
