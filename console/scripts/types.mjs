// Writes src/api/schema.ts: the types of the API's documents, from the same schemas that the server's
// tests hold its answers against. `--check` only says whether the file is as it must be.

import { readFileSync, writeFileSync } from 'node:fs';

const from = new URL('../../crates/api/src/web/schemas.json', import.meta.url);
const to = new URL('../src/api/schema.ts', import.meta.url);

const WORDS = { string: 'string', integer: 'number', number: 'number', boolean: 'boolean', null: 'null' };

/** A type that may stand before `[]`. */
function tight(text) {
  return /^[\w.]+$|^\{[^]*\}$|\[\]$/.test(text) && !text.includes(' | ') ? text : `(${text})`;
}

function ofObject(schema, indent) {
  const more = schema.additionalProperties;
  if (!schema.properties) return typeof more === 'object' ? `Record<string, ${type(more, indent)}>` : 'Record<string, unknown>';
  const inner = `${indent}  `;
  const fields = Object.entries(schema.properties).map(([name, field]) => {
    const note = field.description ? `${inner}/** ${field.description} */\n` : '';
    const mark = schema.required?.includes(name) ? '' : '?';
    return `${note}${inner}${name}${mark}: ${type(field, inner)};\n`;
  });
  return `{\n${fields.join('')}${indent}}`;
}

function type(schema, indent) {
  if (schema.$ref) return schema.$ref.split('/').at(-1);
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word).replaceAll('"', "'")).join(' | ');
  if (schema.anyOf) return schema.anyOf.map((one) => type(one, indent)).join(' | ');
  const names = [schema.type].flat().filter(Boolean);
  if (names.length === 0) return 'unknown';
  return names
    .map((name) => {
      if (name === 'object') return ofObject(schema, indent);
      if (name !== 'array') return WORDS[name];
      if (schema.prefixItems) return `[${schema.prefixItems.map((one) => type(one, indent)).join(', ')}]`;
      return `${tight(type(schema.items ?? {}, indent))}[]`;
    })
    .join(' | ');
}

const schemas = JSON.parse(readFileSync(from, 'utf8'));
const types = Object.entries(schemas)
  .sort(([one], [other]) => (one < other ? -1 : 1))
  .map(([name, schema]) => {
    const note = schema.description ? `/** ${schema.description} */\n` : '';
    return `${note}export type ${name} = ${type(schema, '')};\n`;
  });
const text = `// Written by scripts/types.mjs from the API's schemas: change these, and run \`npm run types\`.\n\n${types.join('\n')}`;

if (!process.argv.includes('--check')) {
  writeFileSync(to, text);
} else if (readFileSync(to, 'utf8') !== text) {
  console.error('src/api/schema.ts is not what the API says: npm run types');
  process.exit(1);
}
