import assert from 'node:assert/strict';
import test from 'node:test';
import type { Recommendations, Report } from '../src/api/types.ts';
import { en } from '../src/lib/en.ts';
import { pullRequest, type Words } from '../src/lib/pull-request.ts';

const t: Words = (key, values = {}) => String(en[key]).replace(/\{(\w+)\}/g, (_all, name) => String(values[name]));
const hostile = '`</code>\n# [click](https://evil.example) <img src=x> @everyone';

function edge(name: string, kind: Report['edges'][number]['class']): Report['edges'][number] {
  return {
    source: name, destination: 'shop/db[Deployment]', protocol: 'TCP', port: 5432, class: kind, before: 'allowed', after: 'denied',
    decided_by: null, connections: 7, first_seen: '2026-11-23T10:00:00Z', last_seen: '2026-11-23T11:00:00Z', reason: hostile,
    may_block: false, accepted: false,
  } as unknown as Report['edges'][number];
}

function text(edges: Report['edges']): string {
  const summary = { would_block: edges.filter((one) => one.class === 'would_block').length, uncertain: 0, newly_allowed: 0, unchanged: 3 };
  const report = { window: { from: 'A', to: 'B' }, completeness: 0.97, summary, edges } as unknown as Report;
  const rule = { direction: 'ingress', words: [hostile], connections: 9, last_seen: 'C', edges: ['x'], processes: [] };
  const policy = { metadata: { namespace: 'shop', name: 'db' } };
  const data = { template: 'least-privilege', policies: [{ policy, rules: [rule], confidence: { score: 0.83, reasons: [] } }] } as unknown as Recommendations;
  const files = [{ name: 'shop.yaml', text: '---\nkind: NetworkPolicy\n---\nkind: NetworkPolicy\n' }];
  return pullRequest({ data, files, report, since: '24h; rm -rf /' }, t);
}

test('a reviewer is told what would be blocked, by what history, and how to check it', () => {
  const told = text([edge('shop/cart[Deployment]', 'would_block'), edge('shop/web[Deployment]', 'unchanged')]);
  assert.match(told, /^# 2 network policies/);
  assert.match(told, /97\.0 % complete/);
  assert.ok(told.includes('`shop/cart[Deployment] → shop/db[Deployment] 5432/TCP`'));
  assert.ok(!told.includes('shop/web'), 'what nothing happens to is counted only');
  assert.match(told, /### shop\/db \(.* 0\.83\)/);
  assert.ok(told.includes('sekisho verify -f . --since 24hrm-rf\n'), 'nothing but a window is in the command');
});

test('names of strangers are text, wherever they stand', () => {
  const told = text([edge(hostile, 'would_block')]);
  // In code spans no backtick is left, and elsewhere nothing is Markdown or HTML.
  const outside = told.replace(/```[\s\S]*?```/g, '').replace(/`[^`\n]*`/g, '');
  assert.doesNotMatch(outside, /(^|[^\\])[<`@[]/m);
  assert.doesNotMatch(outside, /https:\/\//);
  assert.equal(told.split('\n').filter((line) => line.startsWith('# ')).length, 1);
});

test('a long list is cut, and says so', () => {
  const told = text(Array.from({ length: 60 }, (_, number) => edge(`shop/w${number}[Deployment]`, 'would_block')));
  assert.equal(told.split('\n').filter((line) => line.startsWith('- `shop/w')).length, 50);
  assert.match(told, /10/);
});
