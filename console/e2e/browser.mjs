// What the tests in a browser stand on: a demo of our own, and Chromium.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const UP_MS = 180_000;

/** Starts a demo in folders of its own; gives the address that opens the console. */
export async function demo(program) {
  const folder = mkdtempSync(join(tmpdir(), 'sekisho-e2e-'));
  const state = join(folder, 'lab');
  const server = join(folder, 'server.sock');
  const child = spawn(program, ['demo', '--state', state, '--server', server, '--web-listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the demo was not up in time:\n${output}`)), UP_MS);
    const read = (data) => {
      output += data;
      const found = /http:\/\/\S+#token=\w+/.exec(output);
      if (found) {
        clearTimeout(timer);
        resolve(found[0]);
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('exit', (code) => reject(new Error(`the demo ended with ${code}:\n${output}`)));
  });
  const stop = async () => {
    child.kill('SIGINT');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const attack = (name) =>
    new Promise((resolve) => {
      const attacker = spawn(program, ['lab', 'attack', '--state', state, name], { stdio: 'ignore' });
      attacker.on('exit', resolve);
    });
  return { url, stop, attack };
}

/** Chromium without a GPU, as CI has it. */
export function browser() {
  const executablePath = process.env.SEKISHO_TEST_CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
}

/** Serious findings of axe-core (WCAG 2.2 A and AA) on what the page shows now. */
export async function findings(page) {
  // A transition half way has colours of its own.
  await page.waitForTimeout(300);
  await page.evaluate(AXE);
  const result = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }),
  );
  return result.violations
    .filter((one) => one.impact === 'serious' || one.impact === 'critical')
    .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(' | ')}`);
}
