// Says when to ask anew: the server tells of changes, so that a new connection is seen at once and a
// quiet server is not asked at all. Without that stream the callers ask from time to time, as ever.

import { address } from '../api/client.ts';

/** Between two questions; more changes than that are one. */
const APART_MS = 1_000;
/** After which a stream that ended is begun anew. */
const ANEW_MS = 10_000;

/** Must be made while a component starts: it ends with it. */
export class Live {
  /** True while the server tells of changes. */
  told = $state(false);

  #changed: () => void;
  #source: EventSource | null = null;
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #anew: ReturnType<typeof setTimeout> | undefined;

  /** Calls `changed` after each change while `wanted`. */
  constructor(wanted: () => boolean, changed: () => void) {
    this.#changed = changed;
    $effect(() => {
      if (!wanted()) return;
      this.#begin();
      return () => this.#end();
    });
  }

  #begin(): void {
    this.#source?.close();
    const source = new EventSource(address('/changes'));
    this.#source = source;
    let first = true;
    source.addEventListener('change', () => {
      this.told = true;
      // The first tells only that there is a stream.
      if (!first) this.#soon();
      first = false;
    });
    source.onerror = () => {
      // Until it is back nobody tells of anything.
      this.told = false;
      first = false;
      if (source.readyState === EventSource.CLOSED) {
        clearTimeout(this.#anew);
        this.#anew = setTimeout(() => this.#begin(), ANEW_MS);
      }
    };
  }

  #soon(): void {
    if (this.#timer !== undefined) return;
    const wait = Math.max(0, this.#asked + APART_MS - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#asked = Date.now();
      if (!document.hidden) this.#changed();
    }, wait);
  }

  #end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#anew);
    this.#timer = undefined;
    this.#source?.close();
    this.#source = null;
    this.told = false;
  }
}
