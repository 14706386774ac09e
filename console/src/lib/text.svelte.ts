// A text of the server (YAML) that is asked for once, and again when its question changes.

import { address, Problem } from '../api/client.ts';
import type { Query } from '../api/client.ts';

export async function getText(path: string, query: Query, signal: AbortSignal): Promise<string> {
  const response = await fetch(address(path, query), { signal, credentials: 'same-origin' });
  const text = await response.text();
  if (!response.ok) {
    let detail = text;
    try {
      const body: { detail?: string } = JSON.parse(text);
      detail = body.detail ?? text;
    } catch {
      // A proxy's page; shown as it is, as text.
    }
    throw new Problem(response.status, detail);
  }
  return text;
}
