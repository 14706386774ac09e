// Measures the map: frames per second while it is dragged and zoomed, and how long a redraw takes.
//
//   cargo run --release -p sekisho-map --example scene -- 5000 15000 > /tmp/scene.json
//   npm run build && node bench/motion.mjs /tmp/scene.json
//
// A server of its own gives the built console and that one scene; Chromium draws without a GPU.
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { chromium } from 'playwright-core';

const [file = '/tmp/scene.json', executablePath = '/usr/bin/chromium'] = process.argv.slice(2);
const scene = readFileSync(file, 'utf8');
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
const session = JSON.stringify({ name: 'bench', role: 'viewer', namespaces: null, expires: null, version: 'bench' });
const timeline = JSON.stringify({ window: JSON.parse(scene).window, step_s: 60, buckets: [] });

const server = http.createServer((request, response) => {
  const path = new URL(request.url, 'http://bench').pathname;
  const json = (text) => response.writeHead(200, { 'content-type': 'application/json' }).end(text);
  if (path === '/api/v1/session') return json(session);
  if (path === '/api/v1/scene') return json(scene);
  if (path === '/api/v1/timeline') return json(timeline);
  if (path === '/api/v1/views' || path === '/api/v1/noise') return json('[]');
  const name = path.includes('.') ? path : '/index.html';
  const local = new URL(`../dist${name}`, import.meta.url);
  if (!existsSync(local)) return response.writeHead(404).end();
  return response.writeHead(200, { 'content-type': TYPES[name.split('.').pop()] }).end(readFileSync(local));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const base = `http://127.0.0.1:${server.address().port}`;
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
// A fixed window, so that nothing is asked again while it moves.
await page.goto(`${base}/map?by=workload&from=1970-01-01T00:00:00Z&to=1970-01-02T00:00:00Z`);
await page.waitForFunction(() => window.sekishoRedraws?.length > 0, null, { timeout: 60_000 });
const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN);

const frames = (ms) =>
  page.evaluate(
    (ms) =>
      new Promise((resolve) => {
        const start = performance.now();
        const times = [];
        const next = (now) => {
          times.push(now);
          if (now - start < ms) requestAnimationFrame(next);
          else resolve({ fps: ((times.length - 1) * 1000) / (times.at(-1) - times[0]) });
        };
        requestAnimationFrame(next);
      }),
    ms,
  );

async function moving(work) {
  const measured = frames(4_000);
  await work(Date.now() + 4_000);
  return (await measured).fps;
}
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
await page.mouse.move(720, 450);
const pan = await moving(async (end) => {
  await page.mouse.down();
  for (let step = 0; Date.now() < end; step += 1) {
    await page.mouse.move(720 + 220 * Math.sin(step / 12), 450 + 120 * Math.cos(step / 9));
    await wait(8);
  }
  await page.mouse.up();
});
const zoom = await moving(async (end) => {
  for (let step = 0; Date.now() < end; step += 1) {
    await page.mouse.wheel(0, step % 60 < 30 ? -60 : 60);
    await wait(16);
  }
});
for (let step = 0; step < 80; step += 1) {
  await page.mouse.wheel(0, step % 2 === 0 ? -120 : 120);
  await wait(250);
}
const redraws = (await page.evaluate(() => [...window.sekishoRedraws])).sort((a, b) => a - b);
const at = (share) => redraws[Math.min(redraws.length - 1, Math.floor(redraws.length * share))];
const { glyphs, edges } = JSON.parse(scene);
console.log(
  `${glyphs.length} glyphs, ${edges.length} edges: first paint ${paint.toFixed(0)} ms, pan ${pan.toFixed(1)} fps, ` +
    `zoom ${zoom.toFixed(1)} fps, redraw median ${at(0.5).toFixed(0)} ms, p95 ${at(0.95).toFixed(0)} ms of ${redraws.length}`,
);
await browser.close();
server.close();
