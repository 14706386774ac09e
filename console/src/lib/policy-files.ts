// The server's stream of YAML documents, as one file for each namespace. Pure.

import type { PolicyFile } from '../api/types.ts';

/** Namespace of a document that the server wrote; empty for what is in none. */
function namespaceOf(document: string): string {
  return /^ {2}namespace: *"?([a-z0-9.-]+)"?/m.exec(document)?.[1] ?? '';
}

function has(document: string): boolean {
  return /^kind:/m.test(document);
}

export function split(yaml: string): PolicyFile[] {
  const files = new Map<string, string[]>();
  for (const document of yaml.split(/^---[ \t]*$/m)) {
    if (!has(document)) continue; // The heading: comments about all of them.
    const name = `${namespaceOf(document) || '_cluster'}.yaml`;
    const documents = files.get(name) ?? [];
    documents.push(document.replace(/^\n/, ''));
    files.set(name, documents);
  }
  return [...files].map(([name, documents]) => ({ name, text: documents.map((one) => `---\n${one}`).join('') }));
}

export function countPolicies(files: PolicyFile[]): number {
  return files.reduce((sum, file) => sum + file.text.split(/^---[ \t]*$/m).filter(has).length, 0);
}
