import assert from 'node:assert/strict';
import test from 'node:test';
import { byLabel, crumbs, grouping, into, isWorkload, labelOf } from '../src/lib/grouping.ts';

const glyph = (id: string, kind: string, namespace = 'shop', name = 'x', cluster?: string) => ({
  id, kind, namespace, name, folded: 0, labels: { tier: 'web' }, ...(cluster === undefined ? {} : { cluster }),
});

test('a grouping is a word or a label, and nothing else', () => {
  assert.equal(grouping('pod'), 'pod');
  assert.equal(grouping(byLabel('app.kubernetes.io/part-of')), 'label:app.kubernetes.io/part-of');
  for (const wrong of ['', 'planet', 'label:', 'label:a b', 'label:<b>', 'label:a/b/c']) assert.equal(grouping(wrong), null);
  assert.equal(labelOf('label:tier'), 'tier');
  assert.equal(labelOf('pod'), null);
});

test('one goes from a cluster to a process and each step keeps the ones before', () => {
  assert.deepEqual(into(glyph('west[Cluster]', 'Cluster', '', 'west', 'west'), 'cluster', [])?.['cluster'], 'west');
  const space = into(glyph('west/shop[Namespace]', 'Namespace', 'shop', 'shop', 'west'), 'namespace', []);
  assert.deepEqual([space?.['namespace'], space?.['cluster'], space?.['by']], ['shop', 'west', 'workload']);
  const tier = into(glyph('tier=web[Label]', 'Label', ''), 'label:tier', []);
  assert.deepEqual([tier?.['by'], tier?.['within']], ['workload', ['tier=web[Label]']]);
  const cart = into(glyph('west/shop/cart[Deployment]', 'Deployment', 'shop', 'cart', 'west'), 'workload', ['tier=web[Label]']);
  assert.deepEqual([cart?.['by'], cart?.['within']], ['pod', ['tier=web[Label]', 'shop/cart[Deployment]']]);
  const pod = into(glyph('shop/cart-1[Pod]', 'Pod'), 'pod', ['shop/cart[Deployment]']);
  assert.deepEqual([pod?.['by'], pod?.['within']], ['process', ['shop/cart[Deployment]', 'shop/cart-1[Pod]']]);
  const peer = into(glyph('bank/teller[Deployment]', 'Deployment', 'bank'), 'pod', ['tier=db[Label]', 'shop/cart[Deployment]']);
  assert.deepEqual([peer?.['namespace'], peer?.['within']], ['bank', ['bank/teller[Deployment]']], 'a peer is on another way');
  assert.equal(into(glyph('pay.example[External]', 'External', ''), 'workload', []), null);
  assert.equal(into(glyph('node-1[Node]', 'Node', ''), 'workload', []), null);
});

test('the way back names each step', () => {
  const way = crumbs({ all: 'All', cluster: 'west', several: true, namespaces: ['shop'], within: ['shop/cart[Deployment]', 'shop/cart-1[Pod]'] });
  assert.deepEqual(way.map((crumb) => crumb.text), ['All', 'west', 'shop', 'shop/cart[Deployment]', 'shop/cart-1[Pod]']);
  assert.deepEqual([way[3]?.to['by'], way[3]?.to['within']], ['pod', ['shop/cart[Deployment]']]);
  assert.deepEqual([way[0]?.to['cluster'], way[0]?.to['within']], [null, null]);
});

test('only workloads have a page of their own', () => {
  assert.ok(isWorkload({ kind: 'Deployment', namespace: 'shop' }));
  for (const kind of ['Label', 'Dimension', 'Application', 'Cluster', 'Namespace', 'Node']) assert.ok(!isWorkload({ kind, namespace: 'shop' }));
});
