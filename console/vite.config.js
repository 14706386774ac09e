// Builds the console into dist/: hashed names, no outside request, nothing inline (the server's
// content security policy allows neither inline script nor inline style). What gzip makes shorter
// gets a .gz beside it, so that the server packs nothing while it runs.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

function packed() {
  return {
    name: 'packed',
    closeBundle() {
      for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (!entry.isFile() || path.endsWith('.gz')) continue;
        const plain = readFileSync(path);
        const small = gzipSync(plain, { level: 9 });
        if (small.length < plain.length) writeFileSync(`${path}.gz`, small);
      }
    },
  };
}

const proxy = { '/api': process.env.SEKISHO_API ?? 'http://127.0.0.1:8484' };

export default defineConfig({
  plugins: [svelte(), packed()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  // `npm run dev` stands before a real server: `sekisho demo`, or another by SEKISHO_API.
  server: { host: '127.0.0.1', proxy },
  preview: { host: '127.0.0.1', proxy },
});
