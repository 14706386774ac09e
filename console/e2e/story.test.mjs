// The story of the product in a real browser, against a real demo: see, recommend, edit, verify,
// stage, apply, see an attack denied, go back. By role and label, as a person or a reader finds it.
import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { browser, demo, findings } from './browser.mjs';

const program = process.env.SEKISHO_TEST_PROGRAM;
const WAIT = { timeout: 60_000 };
let shop;
let chromium;
let context;
let page;
const errors = [];
const outside = [];

before(async () => {
  assert.ok(program, 'SEKISHO_TEST_PROGRAM names the program to show');
  shop = await demo(program);
  chromium = await browser();
  context = await chromium.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-US' });
  page = await context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(shop.url).origin) && !request.url().startsWith('blob:')) outside.push(request.url());
  });
});

after(async () => {
  await chromium?.close();
  await shop?.stop();
});

/** Waits until the map shows more than its ground: an empty one packs to a few kilobytes. */
async function drawn() {
  const map = page.getByRole('application', { name: 'Map of connections' });
  for (let tries = 0; tries < 50; tries += 1) {
    const picture = await map.screenshot();
    if (picture.length > 20_000) return;
    await page.waitForTimeout(200);
  }
  assert.fail('the map stayed empty');
}

const link = (name) => page.getByRole('navigation').getByRole('link', { name, exact: true });

test('the link of the demo signs in, and its token does not stay in the address', async () => {
  await page.goto(shop.url);
  await page.getByRole('heading', { name: /workloads by state/ }).waitFor(WAIT);
  assert.equal(new URL(page.url()).hash, '');
  const cookies = await context.cookies();
  assert.ok(cookies.every((cookie) => cookie.httpOnly && cookie.sameSite === 'Strict'));
});

test('the map is drawn, goes by keyboard, and has an equal table', async () => {
  await link('Map').click();
  const map = page.getByRole('application', { name: 'Map of connections' });
  await map.waitFor(WAIT);
  await page.waitForFunction(() => window.sekishoRedraws?.length > 0, null, WAIT);
  await drawn();
  await map.focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForURL(/node=/);
  await page.getByRole('button', { name: 'Table' }).click();
  await page.getByRole('row', { name: /shop-web\/frontend.*shop\/cart/ }).waitFor(WAIT);
});

test('the map groups by a label, goes into a workload and back', async () => {
  await page.goto(new URL('/map?by=label:app&view=table', shop.url).href);
  await page.getByRole('row', { name: /app=frontend.*app=cart/ }).waitFor(WAIT);
  await page.getByRole('combobox', { name: 'One node stands for' }).selectOption('application');
  await page.getByRole('row', { name: /shop-web\/frontend Application.*shop\/cart Application/ }).waitFor(WAIT);
  const within = encodeURIComponent('shop/cart[Deployment]');
  await page.goto(new URL(`/map?by=pod&namespace=shop&within=${within}&view=table`, shop.url).href);
  // Its pods one by one, its peers as workloads.
  await page.getByRole('row', { name: /shop-web\/frontend Deployment.*shop\/cart-\S* Pod/ }).first().waitFor(WAIT);
  await page.getByRole('heading').getByRole('button', { name: 'shop', exact: true }).click();
  await page.waitForURL((url) => !url.searchParams.has('within') && url.searchParams.get('namespace') === 'shop');
  const steps = ['namespace', 'workload', 'pod', 'process'];
  const nodes = ['shop[Namespace]', 'shop/cart[Deployment]'];
  for (const [step, by] of steps.entries()) {
    if (by === 'process') break;
    if (by === 'namespace') await page.goto(new URL('/map?by=namespace', shop.url).href);
    const map = page.getByRole('application', { name: 'Map of connections' });
    await map.waitFor(WAIT);
    const wanted = nodes[step] ?? 'shop/cart-';
    const search = page.getByRole('searchbox', { name: /^Find/ });
    await search.fill(wanted);
    await page.getByRole('button', { name: wanted }).first().waitFor(WAIT);
    await search.press('Enter');
    await page.waitForURL(/node=/);
    await map.focus();
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.searchParams.get('by') === steps[step + 1]);
    await page.goto(new URL(page.url().replace(/&?q=[^&]*/, '')).href);
  }
  await page.getByRole('application', { name: 'Map of connections' }).focus();
  await page.keyboard.press('Backspace');
  await page.waitForURL((url) => url.searchParams.get('by') === 'pod');
});

test('each layer has a legend of its own and a column in the table', async () => {
  await page.goto(new URL('/map', shop.url).href);
  const layer = page.getByRole('combobox', { name: 'Layer' });
  for (const [word, legend, cell] of [
    ['coverage', 'Left: only for what comes', /No policy → No policy/],
    ['process', 'Seen at one end', /frontend → cart/],
    ['encryption', 'Encrypted, by its port', /In clear, by its port|Not known/],
  ]) {
    await layer.selectOption(word);
    await page.waitForURL(new RegExp(`layer=${word}`));
    await page.getByText('Legend', { exact: true }).click();
    await page.getByText(legend).waitFor(WAIT);
    await page.getByRole('button', { name: 'Table' }).click();
    await page.getByRole('cell', { name: cell }).first().waitFor(WAIT);
    await page.getByRole('button', { name: 'Table' }).click();
  }
});

test('a view is kept, opened and dropped', async () => {
  await page.goto(new URL('/map?layer=process&view=table', shop.url).href);
  const views = page.getByRole('button', { name: /^Views/ });
  await views.click();
  await page.getByLabel('Name', { exact: true }).fill('processes <of> the shop');
  await page.getByRole('button', { name: 'Keep' }).click();
  await page.getByRole('link', { name: 'processes <of> the shop' }).waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  await page.goto(new URL('/map', shop.url).href);
  await views.click();
  await page.getByRole('link', { name: 'processes <of> the shop' }).click();
  await page.waitForURL(/layer=process/);
  await page.getByRole('button', { name: 'Drop processes <of> the shop' }).click();
  await page.getByText('No view is kept yet.').waitFor(WAIT);
});

test('a rule of noise hides what it names, is counted, and is dropped', async () => {
  await page.goto(new URL('/map?view=table', shop.url).href);
  const row = page.getByRole('row', { name: /shop-web\/frontend.*shop\/cart/ });
  await row.waitFor(WAIT);
  await page.getByRole('button', { name: /^Noise/ }).click();
  await page.getByLabel('Words of a new rule').fill('to_workload:shop/cart');
  await page.getByLabel('Name', { exact: true }).fill('carts');
  await page.getByRole('button', { name: 'Keep' }).click();
  await row.waitFor({ state: 'detached', ...WAIT });
  await page.getByText(/rules hide [\d,]+ connections/).waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  await page.getByRole('button', { name: 'Drop carts' }).click();
  await row.waitFor(WAIT);
});

test('an edge tells both ends, their processes and what can be done', async () => {
  await page.goto(new URL('/map?view=table', shop.url).href);
  await page.getByRole('row', { name: /shop-web\/frontend.*shop\/cart/ }).getByRole('button').click();
  const drawer = page.getByRole('complementary', { name: 'Connection' });
  await drawer.getByText('/srv/frontend').waitFor(WAIT);
  await drawer.getByText('/srv/cart').waitFor(WAIT);
  await drawer.getByRole('link', { name: 'Recommend a policy' }).click();
  await page.getByText('Whatever no rule below allows is denied in shop.').waitFor(WAIT);
});

/** Opens recommendations that block nothing: a connection that is first seen between the two is asked for again. */
async function recommended(path) {
  const none = page.getByRole('button', { name: /^0 would block/ });
  for (let asked = 0; asked < 5; asked++) {
    await page.goto(new URL(path, shop.url).href);
    await page.getByRole('button', { name: /^\d+ would block/ }).waitFor(WAIT);
    if ((await none.count()) > 0) return;
  }
  await none.waitFor(WAIT);
}

test('an edit that would break the shop is told while typing, and taken back', async () => {
  await recommended('/recommendations');
  await page.getByRole('tab', { name: 'shop.yaml' }).click();
  const editor = page.getByRole('textbox', { name: 'Text of shop.yaml' });
  const text = await editor.inputValue();
  await editor.fill(text.replaceAll('app: frontend', 'app: nobody'));
  await page.getByRole('button', { name: /^[1-9]\d* would block/ }).waitFor(WAIT);
  await editor.fill('kind: [');
  await page.getByRole('alert').waitFor(WAIT);
  await page.getByRole('button', { name: 'Undo edits' }).click();
  await page.getByRole('button', { name: '0 would block' }).waitFor(WAIT);
});

test('a template says what it asks, is chosen by keyboard, and its policies are told and verified', async () => {
  await page.goto(new URL('/recommendations?lang=en', shop.url).href);
  await page.getByRole('button', { name: 'Template: Least privilege' }).click();
  await page.locator('.card').first().waitFor(WAIT);
  assert.equal(await page.locator('.card').count(), 17);
  await page.getByRole('button', { name: /^Crown jewel/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('Still needed: Workload').waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  const jewel = await page.getByLabel('Workload *').locator('option', { hasText: 'data/orders-db' }).first().innerText();
  await page.getByLabel('Workload *').selectOption(jewel);
  await page.getByRole('heading', { name: /^crown-jewel-/ }).waitFor(WAIT);
  await page.getByText(/is reached by those seen on .*, and reaches nobody/).waitFor(WAIT);
  await page.getByText(/^What NetworkPolicy cannot say/).waitFor(WAIT);
  await page.getByRole('button', { name: '0 would block' }).waitFor(WAIT);
  await page.getByLabel('Ports').fill('1');
  await page.getByLabel('Ports').press('Tab');
  await page.getByRole('button', { name: /^[1-9]\d* would block/ }).waitFor(WAIT);
  await page.getByLabel('Ports').fill('x');
  await page.getByLabel('Ports').press('Tab');
  await page.getByText(/`x` is no port such as 5432/).first().waitFor(WAIT);
  await page.goto(new URL('/recommendations?lang=en&template=cloud-metadata', shop.url).href);
  await page.getByRole('tab', { name: '_cluster.yaml' }).waitFor(WAIT);
  await page.getByRole('heading', { name: 'sekisho-cloud-metadata' }).waitFor(WAIT);
});

test('what was verified is staged, then applied, each after saying what will happen', async () => {
  await recommended('/recommendations?lang=en');
  await page.getByRole('button', { name: 'Stage', exact: true }).click();
  const ask = page.getByRole('dialog');
  await ask.getByText('Nothing is stopped.').waitFor(WAIT);
  await ask.getByRole('button', { name: 'Stage' }).click();
  await page.getByText(/^Staged as revision/).waitFor(WAIT);
  const inForce = page.getByText(/^In force as revision/);
  const refused = page.getByText(/^Refused, and nothing has changed/);
  // What nobody could judge may have grown since it was counted: then it is refused, and counted anew.
  for (let asked = 0; asked < 5 && (await inForce.count()) === 0; asked++) {
    await page.getByRole('button', { name: 'Apply', exact: true }).click();
    await ask.getByText('what they do not allow is dropped').waitFor(WAIT);
    const uncertain = ask.getByRole('checkbox');
    if ((await uncertain.count()) > 0) await uncertain.check();
    await ask.getByRole('button', { name: 'Apply' }).click();
    await ask.waitFor({ state: 'hidden', ...WAIT });
    await inForce.or(refused).first().waitFor(WAIT);
  }
  await inForce.waitFor(WAIT);
});

test('an attack is denied and seen, while the shop goes on', async () => {
  await page.goto(new URL('/flows?verdict=denied', shop.url).href);
  await shop.attack('all');
  await page.getByRole('row', { name: /Denied/ }).first().waitFor(WAIT);
  await page.goto(new URL('/map?view=table&verdict=denied', shop.url).href);
  await page.getByRole('row', { name: /Denied/ }).first().waitFor(WAIT);
  await page.goto(new URL('/flows?verdict=allowed', shop.url).href);
  await page.getByRole('row', { name: /Allowed/ }).first().waitFor(WAIT);
});

test('a policy tells which of its rules were used, by what, and who put it in force', async () => {
  await page.goto(new URL('/policies?lang=en&since=1h', shop.url).href);
  await page.getByText(/^In force \([1-9]/).waitFor(WAIT);
  await page.getByRole('button', { name: /^cart/ }).first().click();
  await page.getByText('In this form by').waitFor(WAIT);
  await page.getByText(/what is unused here may be used at other times/).waitFor(WAIT);
  await page.getByRole('button', { name: 'ingress[0]', exact: true }).click();
  await page.getByText(/connections are allowed by this rule alone/).waitFor(WAIT);
  await page.getByRole('link', { name: /shop-web\/frontend.*shop\/cart/ }).first().waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
});

test('a report is chosen, looked at, and taken along with the digest that the screen shows', async () => {
  await link('Reports').click();
  await page.getByRole('cell', { name: 'shop/cart[Deployment]' }).waitFor(WAIT);
  await page.getByRole('combobox', { name: 'Report' }).selectOption('connectivity');
  await page.getByRole('cell', { name: 'shop-web/frontend[Deployment]' }).first().waitFor(WAIT);
  await page.getByLabel('Namespaces, with commas').fill('shop');
  await page.getByLabel('Namespaces, with commas').press('Tab');
  await page.waitForURL(/namespace=shop/);
  const taken = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Save CSV' }).click();
  const csv = await text(await (await taken).createReadStream());
  assert.match(csv, /^\ufeff?# Connectivity evidence\r\n/);
  assert.match(csv, /# SHA-256 of the data,[0-9a-f]{64}\r\n/);
  assert.match(csv, /\r\n"?shop-web\/frontend\[Deployment\]"?,/);
  const opened = context.waitForEvent('page');
  await page.getByRole('link', { name: 'Open to print' }).click();
  const document = await opened;
  await document.getByRole('heading', { name: 'Connectivity evidence' }).waitFor(WAIT);
  assert.equal(await document.locator('script').count(), 0);
  assert.equal(await document.evaluate(() => getComputedStyle(globalThis.document.querySelector('table')).borderCollapse), 'collapse');
  const pdf = await document.pdf({ preferCSSPageSize: true });
  assert.equal(pdf.subarray(0, 5).toString(), '%PDF-');
  await document.close();
  await page.getByRole('combobox', { name: 'Report' }).selectOption('changes');
  await page.getByRole('heading', { name: /^Revisions \([1-9]/ }).waitFor(WAIT);
  await page.getByRole('cell', { name: 'apply', exact: true }).first().waitFor(WAIT);
});

test('everything can be taken back', async () => {
  await link('Policies').click();
  await page.getByText(/^In force \([1-9]/).waitFor(WAIT);
  await page.getByRole('button', { name: 'Take all back' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take all back' }).click();
  await page.getByText(/^Done: revision/).waitFor(WAIT);
});

test('a new connection is on the map within two seconds', async () => {
  await page.goto(new URL('/map?view=table&verdict=allowed&verdict=unknown', shop.url).href);
  await page.getByRole('row', { name: /shop-web\/frontend.*shop\/cart/ }).waitFor(WAIT);
  const row = page.getByRole('row', { name: /shop\/ad .*data\/orders-db/ });
  assert.equal(await row.count(), 0);
  await shop.attack('database');
  const began = Date.now();
  await row.first().waitFor(WAIT);
  assert.ok(Date.now() - began < 2_000, `${Date.now() - began} ms`);
});

test('a token is made, told once, opens what it may, and is ended', async () => {
  await page.goto(new URL('/settings?lang=en', shop.url).href);
  await page.getByLabel('Name', { exact: true }).fill('guest');
  await page.getByRole('button', { name: 'Make token' }).click();
  const secret = await page.getByRole('status').getByText(/^skt_[0-9a-f]{64}$/).innerText(WAIT);
  const asked = async (path) => {
    const headers = { authorization: `Bearer ${secret}` };
    return (await fetch(new URL(`/api/v1${path}`, shop.url), { headers })).status;
  };
  assert.deepEqual([await asked('/map'), await asked('/audit')], [200, 403]);
  const row = page.getByRole('row', { name: /^guest/ });
  await row.getByRole('button', { name: 'End', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End', exact: true }).click();
  await row.waitFor({ state: 'detached', ...WAIT });
  assert.equal(await asked('/map'), 401);
  await page.getByRole('cell', { name: 'revoke_token' }).first().waitFor(WAIT);
});

test('what assets are called: a rule with its preview, a table line by line, a conflict and its end', async () => {
  await page.goto(new URL('/inventory?lang=en', shop.url).href);
  await page.getByRole('button', { name: /shop\/cart/ }).first().waitFor(WAIT);
  await page.getByRole('tab', { name: 'Rules' }).click();
  const rules = page.getByRole('textbox', { name: 'Rules' });
  await rules.fill('rules:\n  - match: { port: 5432 }\n    set: { colour: red }\n');
  await page.getByText('Line 3, column 12').waitFor(WAIT);
  assert.equal(await page.getByRole('button', { name: 'Save the rules' }).isDisabled(), true);
  await rules.fill('rules:\n  - name: databases\n    match: { port: 5432 }\n    set: { role: database }\n');
  await page.getByText(/^[1-9]\d* of \d+ assets would be called otherwise$/).waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  await page.getByRole('button', { name: 'Save the rules' }).click();
  await page.getByText(/assets are called otherwise now$/).waitFor(WAIT);
  await page.getByRole('tab', { name: 'Tables' }).click();
  const table = (text) => page.getByLabel('File', { exact: true }).setInputFiles({ name: 'cmdb.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
  await table('asset,role,owner\ndata/orders-db,cache,ann\nshop/cart\n');
  await page.getByText('1 fields, where the first line has 3').first().waitFor(WAIT);
  assert.equal(await page.getByRole('button', { name: 'Import', exact: true }).isDisabled(), true);
  await table('asset,role,owner\ndata/orders-db,cache,ann\nnobody/at-all,x,bob\n');
  await page.getByText('1 values hold for nobody yet').waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  await page.getByRole('button', { name: 'Import', exact: true }).click();
  await page.getByText('cmdb is imported.').waitFor(WAIT);
  await page.getByRole('tab', { name: 'Assets' }).click();
  await page.getByRole('button', { name: /with conflicts/ }).click();
  const name = page.getByRole('button', { name: /data\/orders-db/ });
  await name.focus();
  await page.keyboard.press('Enter');
  const card = page.getByRole('complementary', { name: /data\/orders-db/ });
  await card.getByText('cmdb, line 2').waitFor(WAIT);
  await card.getByText('conflicts', { exact: true }).first().waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  await card.getByLabel('Dimension').selectOption('role');
  await card.getByLabel('Value by hand').fill('database');
  await card.getByRole('button', { name: 'Set', exact: true }).click();
  await card.getByText('by hand', { exact: true }).waitFor(WAIT);
  await card.getByText('conflicts', { exact: true }).waitFor({ state: 'detached', ...WAIT });
  await page.goto(new URL('/map?by=dimension:role&view=table&lang=en', shop.url).href);
  await page.getByRole('row', { name: /role=database/ }).first().waitFor(WAIT);
});

test('each screen is accessible in both themes and languages', async () => {
  const paths = [
    '/', '/map', '/map?view=table', '/map?layer=coverage&by=label:app', '/map?layer=encryption&view=table',
    '/flows', '/recommendations', '/recommendations?choose=1',
    '/recommendations?template=lateral-movement', '/policies', '/reports', '/reports?report=connectivity',
    '/reports?report=changes', '/agents', '/settings',
    '/workload?id=shop%2Fcart%5BDeployment%5D', '/inventory', '/inventory?id=shop%2Fcart%5BDeployment%5D',
    '/inventory?tab=rules', '/inventory?tab=imports',
  ];
  const all = [];
  for (const [theme, lang] of [['light', 'ja'], ['dark', 'en']]) {
    for (const path of paths) {
      await page.goto(new URL(`${path}${path.includes('?') ? '&' : '?'}theme=${theme}&lang=${lang}`, shop.url).href);
      await page.locator('.page, .map').first().waitFor(WAIT);
      await page.waitForLoadState('load');
      await page.waitForFunction(() => document.querySelector('.loading') === null, null, WAIT);
      all.push(...(await findings(page)).map((one) => `${path} ${theme} ${lang}: ${one}`));
    }
  }
  assert.deepEqual(all, []);
});

test('a server that is gone is said, what was shown stays, and it comes back by itself', async () => {
  await page.goto(new URL('/map?view=table&lang=en', shop.url).href);
  await page.getByRole('row', { name: /shop\/cart/ }).first().waitFor(WAIT);
  await context.setOffline(true);
  await page.getByText(/The server does not answer/).waitFor(WAIT);
  assert.ok((await page.getByRole('row', { name: /shop\/cart/ }).count()) > 0);
  await context.setOffline(false);
  await page.getByText(/The server does not answer/).waitFor({ state: 'detached', ...WAIT });
});

test('signing out ends the session', async () => {
  await page.goto(new URL('/?lang=en', shop.url).href);
  await page.getByRole('button', { name: 'Sign out' }).click();
  const field = page.getByLabel('Token');
  await field.waitFor(WAIT);
  assert.deepEqual(await findings(page), []);
  await field.fill('skt_wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor(WAIT);
});

test('nothing outside was asked, and no error was in the console', () => {
  assert.deepEqual(outside, []);
  // The browser itself logs each answer that is no success: the refused edit and the wrong token.
  const ours = errors.filter((text) => !/status of (400|401|409|422)|ERR_INTERNET_DISCONNECTED/.test(text));
  assert.deepEqual(ours, []);
});
