import assert from 'node:assert/strict';
import test from 'node:test';
import type { SceneEdge } from '../src/api/types.ts';
import { command, parse, suggest } from '../src/lib/flow-filter.ts';
import { age, bytes, harmless, percent, short } from '../src/lib/format.ts';
import { countPolicies, split } from '../src/lib/policy-files.ts';
import { svg } from '../src/graph/svg.ts';

test('tokens are read with their short names, and nonsense is none', () => {
  assert.deepEqual(parse('verdict:denied'), { field: 'verdict', value: 'denied' });
  assert.deepEqual(parse('port:5432'), { field: 'to_port', value: '5432' });
  assert.deepEqual(parse('to-port: 5432'), { field: 'to_port', value: '5432' });
  assert.deepEqual(parse('shop/cart'), { field: 'workload', value: 'shop/cart' });
  assert.deepEqual(parse('proto:tcp'), { field: 'protocol', value: 'TCP' });
  for (const text of ['', 'colour:red', 'verdict:']) assert.equal(parse(text), null);
});

test('suggestions are names, then values', () => {
  assert.ok(suggest('verd').includes('verdict:'));
  assert.deepEqual(suggest('verdict:de'), ['verdict:denied']);
});

test('a command quotes what a shell would read', () => {
  assert.equal(command([{ field: 'to_fqdn', value: "*.a'b" }], true), "sekisho observe --to-fqdn '*.a'\\''b' --follow");
  assert.equal(command([{ field: 'to_port', value: '53' }], false), 'sekisho observe --to-port 53');
});

test('hostile text is shown harmlessly and short', () => {
  assert.ok(!/[\u202e\u0000]/u.test(harmless('a\u202eb\u0000c')));
  assert.equal([...harmless('x'.repeat(4096))].length, 120);
  assert.equal(harmless('<script>'), '<script>');
});

test('numbers never claim more than is true', () => {
  assert.equal(percent(0.99999), '99.9 %');
  assert.equal(percent(1), '100 %');
  assert.equal(bytes(1024), '1.0 KiB');
  assert.equal(short(12_345), '12.3K');
  assert.deepEqual(age(2_000, 1_000), { value: 0, unit: 's' });
});

test('the stream of policies is split by namespace and loses none', () => {
  const one = (name: string, namespace: string) => `---\nkind: NetworkPolicy\nmetadata:\n  name: ${name}\n  namespace: ${namespace}\n`;
  const files = split(`# heading\n${one('a', 'x')}${one('b', 'y')}${one('c', 'x')}`);
  assert.deepEqual(files.map((file) => file.name), ['x.yaml', 'y.yaml']);
  assert.equal(countPolicies(files), 3);
});

test('a picture for a document can hold no markup of strangers', () => {
  const palette = { bg: '#fff', panel: '#fff', sunken: '#eee', line: '#ccc', strong: '#999', ink: '#000', soft: '#555', accent: '#00f', allowed: '#666', would: '#960', denied: '#c00', unknown: '#777', font: 'sans-serif' };
  const verdict: SceneEdge['verdict'] = 'allowed';
  const text = svg(
    { layer: 'verdict', areas: [], dots: [{ id: 'a', name: '<script>&"', kind: 'Pod', state: 'no_policy', ingress: 'no_policy', egress: 'no_policy', pods: 1, x: 0, y: 0, r: 5 }], lines: [{ id: 'l', source: '<a>', destination: 'b', verdict, connections: 1, look: 'allowed', text: '', curve: { x0: 0, y0: 0, cx: 1, cy: 1, x1: 2, y1: 2 } }] },
    { x: 0, y: 0, width: 10, height: 10 }, palette, 'title',
  );
  assert.ok(!text.includes('<script>') && !text.includes('<a>'));
});
