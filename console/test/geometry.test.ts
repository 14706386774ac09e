import assert from 'node:assert/strict';
import test from 'node:test';
import type { Scene } from '../src/api/types.ts';
import { LAYERS, type Layer, STYLES } from '../src/graph/looks.ts';
import { curve, type Dot, dotAt, fit, lineAt, looks, picture, pointAt, towards, zoom } from '../src/graph/geometry.ts';

const titles = {
  area: { cluster: '', namespace: '', external: 'Outside', host: 'Machines' },
  addresses: (count: number) => `${count} addresses`,
};
const dot = (id: string, x: number, y: number): Dot => ({ id, name: id, kind: 'Deployment', state: 'no_policy', ingress: 'no_policy', egress: 'no_policy', pods: 1, x, y, r: 10 });
const edge = (source: string, destination: string, verdict: 'allowed' | 'denied') => ({
  id: `${source}${destination}${verdict}`, source, destination, verdict, ports: [], source_processes: ['/srv/web'], destination_processes: [], ends_seen: 1, encryption: 'unknown' as const, rows: 1, connections: 1, bytes: 0, resets: 0,
  first_seen: '', last_seen: '', direction_inferred: false, loss: false,
});
const scene: Scene = {
  window: { from: '', to: '' }, completeness: 1, gaps: [], generation: 'g', x: 0, y: 0, width: 400, height: 200,
  areas: [{ id: 'e', parent: null, kind: 'external', name: '', x: 0, y: 0, w: 10, h: 10, nodes: 0 }],
  glyphs: [
    { ...dot('a', 50, 100), area: 'e', namespace: 'n', labels: {}, folded: 0 },
    { ...dot('b', 350, 100), area: 'e', namespace: 'n', labels: {}, folded: 30 },
  ],
  edges: [edge('a', 'b', 'allowed'), edge('a', 'b', 'denied'), edge('b', 'a', 'allowed'), edge('a', 'gone', 'denied')],
  hidden: { edges: 0, connections: 0 },
  partial: null,
};
const all = new Set(['allowed', 'denied', 'would_deny', 'unknown'] as const);

test('each layer has its own looks, and what was denied ends in a bar on all of them', () => {
  const on = (layer: Layer) => picture(scene, all, titles, layer);
  assert.deepEqual([...new Set(on('process').lines.map((line) => line.look))], ['seen_one']);
  assert.equal(on('process').lines[0]?.text, 'web → ?');
  assert.deepEqual([...new Set(on('encryption').lines.map((line) => line.look))], ['unsure']);
  assert.deepEqual([...new Set(on('coverage').lines.map((line) => line.look))], ['faint']);
  for (const layer of LAYERS) assert.ok(on(layer).lines.some((line) => line.verdict === 'denied'));
  assert.equal(new Set(LAYERS.map((layer) => looks(on(layer)))).size, LAYERS.length, 'a change of layer is drawn');
  const patterns = Object.values(STYLES).map((style) => `${style.tone} ${style.dash.join(' ')}`);
  assert.ok(new Set(patterns).size > 6);
  for (const group of [['allowed', 'would_deny', 'unknown'], ['seen_both', 'seen_one', 'seen_none'], ['encrypted', 'clear', 'mixed', 'unsure']] as const) {
    assert.equal(new Set(group.map((look) => STYLES[look].dash.join(' '))).size, group.length, 'never by colour alone');
  }
});

test('there, back and another verdict are lines of their own', () => {
  const drawn = picture(scene, all, titles);
  const middles = drawn.lines.map((line) => Math.round(pointAt(line.curve, 0.5).y));
  assert.equal(new Set(middles).size, 3);
});

test('an edge whose end is not shown is not drawn, and a hidden verdict neither', () => {
  assert.equal(picture(scene, all, titles).lines.length, 3);
  assert.equal(picture(scene, new Set(['denied'] as const), titles).lines.length, 1);
});

test('what was denied is drawn last, so on top', () => {
  assert.equal(picture(scene, all, titles).lines.at(-1)?.verdict, 'denied');
});

test('an area without a name is called what it is', () => {
  assert.equal(picture(scene, all, titles).areas[0]?.name, 'Outside');
});

test('a node that stands for many says how many', () => {
  assert.deepEqual(picture(scene, all, titles).dots.map((one) => one.name), ['a', '30 addresses']);
});

test('a picture looks the same while only counts grow a little, and other when something moves', () => {
  const now = looks(picture(scene, all, titles));
  const more = { ...scene, edges: scene.edges.map((one) => ({ ...one, bytes: 99, last_seen: 'later' })) };
  assert.equal(looks(picture(more, all, titles)), now);
  const moved = { ...scene, glyphs: scene.glyphs.map((one) => ({ ...one, x: one.x + 1 })) };
  assert.notEqual(looks(picture(moved, all, titles)), now);
  assert.notEqual(looks(picture(scene, new Set(['denied'] as const), titles)), now);
});

test('a call to itself is a loop that leaves the glyph', () => {
  const loop = curve(dot('a', 0, 0), dot('a', 0, 0), 0);
  assert.ok(Math.hypot(pointAt(loop, 0.5).x, pointAt(loop, 0.5).y) > 10);
});

test('zooming keeps the point under the pointer, and ends', () => {
  const before = { x: 10, y: 20, k: 1 };
  const after = zoom(before, 2, 100, 50);
  assert.equal(after.x + 100 / after.k, before.x + 100);
  assert.equal(after.y + 50 / after.k, before.y + 50);
  assert.ok(zoom(before, 1e9, 0, 0).k <= 4);
  assert.ok(zoom(before, 1e-9, 0, 0).k > 0);
});

test('all of a scene fits its view', () => {
  const camera = fit(scene, { width: 800, height: 600 });
  assert.ok((scene.x - camera.x) * camera.k >= 0);
  assert.ok((scene.x + scene.width - camera.x) * camera.k <= 800);
});

test('a pointer finds the glyph under it and the line near it, and nothing else', () => {
  const drawn = picture(scene, all, titles);
  assert.equal(dotAt(drawn, 52, 103, 2)?.id, 'a');
  assert.equal(dotAt(drawn, 100, 103, 2), null);
  const first = drawn.lines[0];
  assert.ok(first);
  const middle = pointAt(first.curve, 0.5);
  assert.equal(lineAt(drawn, middle.x, middle.y, 3)?.id, first.id);
  assert.equal(lineAt(drawn, middle.x, middle.y - 500, 3), null);
});

test('an arrow key goes to the node in its direction, or nowhere', () => {
  const drawn = picture(scene, all, titles);
  const a = drawn.dots[0];
  assert.ok(a);
  assert.equal(towards(drawn, a, 1, 0)?.id, 'b');
  assert.equal(towards(drawn, a, -1, 0), null);
});
