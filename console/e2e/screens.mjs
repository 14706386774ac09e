// Takes the pictures of docs/console/: each screen in both themes and languages, with a real demo.
//
//   SEKISHO_TEST_PROGRAM=target/release/sekisho node e2e/screens.mjs ../docs/console [of these, such as map-]
import { mkdirSync } from 'node:fs';
import { browser, demo } from './browser.mjs';

const [out = '../docs/console'] = process.argv.slice(2);
const WAIT = { timeout: 60_000 };
const [, only = ''] = process.argv.slice(2);
const SCREENS = [
  ['home', '/'],
  ['map', '/map'],
  ['map-node', '/map', (page) => choose(page)],
  ['map-edge', '/map?source=shop-web%2Ffrontend%5BDeployment%5D&destination=shop%2Fcart%5BDeployment%5D'],
  ['map-table', '/map?view=table'],
  ['map-coverage', '/map?layer=coverage', (page) => page.getByText(/^(Legend|凡例)$/).click()],
  ['map-process', '/map?layer=process&namespace=shop', (page) => page.getByText(/^(Legend|凡例)$/).click()],
  ['map-encryption', '/map?layer=encryption', (page) => page.getByText(/^(Legend|凡例)$/).click()],
  ['map-label', '/map?by=label:app'],
  ['map-within', '/map?by=pod&namespace=shop&within=shop%2Fcart%5BDeployment%5D'],
  ['map-noise', '/map', (page) => page.getByRole('button', { name: /^(Noise|ノイズ)/ }).click()],
  ['flows', '/flows?verdict=denied'],
  ['workload', '/workload?id=shop%2Fcart%5BDeployment%5D'],
  ['recommendations', '/recommendations?file=shop.yaml'],
  ['templates', '/recommendations?choose=1'],
  ['template', '/recommendations?template=crown-jewel&set=workload%3Ddata%2Forders-db'],
  ['template-wide', '/recommendations?template=control-plane-ports'],
  ['policies', '/policies?policy=shop%2Fcart'],
  ['inventory', '/inventory?id=data%2Forders-db%5BStatefulSet%5D'],
  ['inventory-rules', '/inventory?tab=rules'],
  ['inventory-tables', '/inventory?tab=imports'],
  ['reports', '/reports'],
  ['reports-connectivity', '/reports?report=connectivity&namespace=shop'],
  ['reports-changes', '/reports?report=changes'],
  ['agents', '/agents'],
  ['settings', '/settings'],
].filter(([name]) => name.startsWith(only));

async function choose(page) {
  await page.getByRole('application').focus();
  await page.keyboard.press('ArrowRight');
}

const shop = await demo(process.env.SEKISHO_TEST_PROGRAM);
const chromium = await browser();
mkdirSync(out, { recursive: true });
try {
  const page = await chromium.newPage({ viewport: { width: 1360, height: 800 } });
  await page.goto(shop.url);
  await page.getByRole('navigation').waitFor(WAIT);
  await page.goto(new URL('/recommendations?lang=en', shop.url).href);
  for (const act of ['Stage', 'Apply']) {
    await page.getByRole('button', { name: act, exact: true }).click(WAIT);
    const ask = page.getByRole('dialog');
    const uncertain = ask.getByRole('checkbox');
    if ((await uncertain.count()) > 0) await uncertain.check();
    await ask.getByRole('button', { name: act }).click();
    await page.getByText(act === 'Stage' ? /^Staged as/ : /^In force as/).waitFor(WAIT);
  }
  await shop.attack('all');
  // Something for the inventory to tell: rules, and a table that says otherwise.
  await page.evaluate(async () => {
    const ask = (method, path, body) =>
      fetch(`/api/v1${path}`, {
        method,
        headers: { 'content-type': 'application/json', 'x-sekisho-request': '1' },
        body: JSON.stringify(body),
      });
    const rules = 'rules:\n  - name: databases\n    match: { port: [5432, 6379] }\n    set: { role: database }\n';
    await ask('PUT', '/labels/rules', { rules });
    const text = 'asset,role,environment,location\ndata/orders-db,cache,prod,tokyo\nshop/cart,web,prod,osaka\n';
    await ask('POST', '/labels/import', { name: 'cmdb', text });
  });
  for (const lang of ['en', 'ja']) {
    for (const theme of ['light', 'dark']) {
      for (const [name, path, act] of SCREENS) {
        await page.goto(new URL(`${path}${path.includes('?') ? '&' : '?'}lang=${lang}&theme=${theme}`, shop.url).href);
        await page.locator('.page, .map').first().waitFor(WAIT);
        await page.waitForFunction(() => document.querySelector('.loading') === null, null, WAIT);
        await page.waitForTimeout(1_000);
        if (act) await act(page);
        await page.waitForTimeout(500);
        await page.screenshot({ path: `${out}/${name}.${lang}.${theme}.png` });
      }
    }
  }
  for (const lang of ['en', 'ja']) {
    await page.context().clearCookies();
    await page.goto(new URL(`/?lang=${lang}&theme=light`, shop.url).href);
    await page.getByRole('textbox').waitFor(WAIT);
    await page.screenshot({ path: `${out}/sign-in.${lang}.light.png` });
  }
} finally {
  await chromium.close();
  await shop.stop();
}
