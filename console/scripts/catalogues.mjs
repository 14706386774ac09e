// Checks that both catalogues are complete, name the same values, and hold no text nobody uses.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const { en } = await import('../src/lib/en.ts');
const { ja } = await import('../src/lib/ja.ts');
const values = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort().join(' ');
const findings = [];
for (const [key, text] of Object.entries(en)) {
  if (!ja[key]) findings.push(`ja.ts lacks \`${key}\``);
  else if (values(text) !== values(ja[key])) findings.push(`\`${key}\` names other values in ja.ts than in en.ts`);
}
for (const key of Object.keys(ja)) if (!(key in en)) findings.push(`en.ts lacks \`${key}\``);

const sources = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.(svelte|ts)$/.test(entry.name) && !/\/(en|ja)\.ts$/.test(path) ? [readFileSync(path, 'utf8')] : [];
  });
const all = sources('src').join('\n');
// Keys that are put together, `verdict.${word}`, are used if their beginning is.
for (const key of Object.keys(en)) {
  const start = `\`${key.slice(0, key.lastIndexOf('.') + 1)}\${`;
  if (!all.includes(`'${key}'`) && !(key.includes('.') && all.includes(start))) findings.push(`nobody uses \`${key}\``);
}
for (const finding of findings) console.error(finding);
console.log(`catalogues: ${Object.keys(en).length} texts in 2 languages, ${findings.length} findings`);
process.exit(findings.length > 0 ? 1 : 0);
