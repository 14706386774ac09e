// Draws a picture on a 2D canvas. Runs in the worker; pure but for the canvas.
//
// What keeps it fast without a GPU: lines of one style are one path; a wide line is some lines of one
// device pixel side by side, as a wide stroke costs ten times what these do together, and where there
// are many, one; dashed lines are cut to the view before they are dashed, as dashing costs by length,
// seen or not.

import type { Verdict } from '../api/types.ts';
import { type Camera, type Curve, type Dot, lineWidth, type Picture, pointAt } from './geometry.ts';

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

export function dash(verdict: Verdict): number[] {
  switch (verdict) {
    case 'would_deny':
      return [7, 4];
    case 'unknown':
      return [1.5, 3.5];
    case 'allowed':
    case 'denied':
      return [];
  }
}

function colour(verdict: Verdict, palette: Palette): string {
  switch (verdict) {
    case 'allowed':
      return palette.allowed;
    case 'would_deny':
      return palette.would;
    case 'denied':
      return palette.denied;
    case 'unknown':
      return palette.unknown;
  }
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
  const dashed = picture.lines.reduce((sum, line) => sum + (dash(line.verdict).length > 0 ? 1 : 0), 0);
  const groups = new Map<string, { verdict: Verdict; width: number; curves: Curve[] }>();
  for (const line of picture.lines) {
    if (outside(line.curve, box)) continue;
    const thin = many || (dashed > MANY_DASHED && dash(line.verdict).length > 0);
    const width = thin ? HAIR / dpr : Math.round(lineWidth(line.connections) * 2) / 2;
    const key = `${line.verdict} ${width}`;
    const group = groups.get(key);
    if (group) group.curves.push(line.curve);
    else groups.set(key, { verdict: line.verdict, width, curves: [line.curve] });
  }
  for (const { verdict, width, curves } of groups.values()) {
    ctx.strokeStyle = colour(verdict, palette);
    ctx.fillStyle = ctx.strokeStyle;
    ctx.globalAlpha = verdict === 'allowed' ? (many ? 0.45 : 0.7) : 1;
    // Dashes of hundreds of lines are nowhere seen one by one: they may be fewer.
    const dashes = dash(verdict).map((length) => length * px * (dashed > MANY_DASHED ? 2 : 1));
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
    if (!many || verdict === 'denied') heads(ctx, curves, verdict, px, width);
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
function heads(ctx: Context, curves: Curve[], verdict: Verdict, px: number, width: number): void {
  const size = Math.min(7 * px, 7) * (1 + (width - 1) * 0.15);
  ctx.beginPath();
  for (const c of curves) {
    const angle = Math.atan2(c.y1 - c.cy, c.x1 - c.cx);
    const cos = Math.cos(angle);
    const sin = Math.sin(angle);
    if (verdict === 'denied') {
      ctx.moveTo(c.x1 - sin * size, c.y1 + cos * size);
      ctx.lineTo(c.x1 + sin * size, c.y1 - cos * size);
    } else {
      const tip = { x: c.x1 + cos * 4, y: c.y1 + sin * 4 };
      ctx.moveTo(tip.x, tip.y);
      ctx.lineTo(tip.x - cos * size - sin * size * 0.5, tip.y - sin * size + cos * size * 0.5);
      ctx.lineTo(tip.x - cos * size + sin * size * 0.5, tip.y - sin * size - cos * size * 0.5);
    }
  }
  if (verdict === 'denied') {
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
  for (const state of ['no_policy', 'unknown', 'external', 'staged', 'enforced'] as const) {
    const ones = seen.filter((dot) => dot.state === state);
    if (ones.length === 0) continue;
    const plain = state === 'external' || state === 'unknown';
    ctx.beginPath();
    for (const dot of ones) trace(ctx, dot, dot.r);
    ctx.strokeStyle = plain ? palette.strong : palette.ink;
    ctx.lineWidth = plain ? Math.max(1, 1 / camera.k) : 1.6;
    ctx.stroke();
    ctx.fillStyle = state === 'enforced' ? palette.accent : palette.would;
    if (state === 'enforced' || state === 'staged') {
      ctx.beginPath();
      for (const dot of ones) trace(ctx, dot, dot.r - 3.5);
      if (state === 'enforced') ctx.fill();
      else {
        ctx.strokeStyle = palette.would;
        ctx.lineWidth = 2;
        ctx.stroke();
      }
    }
  }
}

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
