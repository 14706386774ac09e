// Builds the console into dist/: hashed names, no outside request, nothing inline (the server's
// content security policy allows neither inline script nor inline style).
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  worker: { format: 'es' },
  server: { host: '127.0.0.1', proxy: { '/api': process.env.SEKISHO_API ?? 'http://127.0.0.1:8484' } },
});
