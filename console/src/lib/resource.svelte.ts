// A document of the server on the screen: loading, here, failed, or here and growing old.

import { untrack } from 'svelte';
import { get, Problem, type Query } from '../api/client.ts';

const DELAY_MAX_MS = 30_000;

/** Must be made while a component starts: it ends with it. */
export class Resource<T> {
  data = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  loading = $state(true);
  /** When `data` came. */
  at = $state(0);

  #ask: () => { path: string; query: Query } | null;
  #every: () => number;
  #abort: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #late = false;

  /**
   * Asks when what `ask` reads changes (null: not now) and, if `every` is more than 0, again and
   * again after that many milliseconds; later while the server fails or nobody looks.
   */
  constructor(ask: () => { path: string; query: Query } | null, every: () => number = () => 0) {
    this.#ask = ask;
    this.#every = every;
    $effect(() => {
      const question = ask();
      if (question) untrack(() => this.#load(question));
      else this.#clear();
      return () => this.#stop();
    });
    $effect(() => {
      every();
      // Asked already: only when it is asked next has changed.
      untrack(() => {
        const question = ask();
        if (question && !this.loading) this.#plan(question);
      });
    });
  }

  again(): void {
    const question = this.#ask();
    if (question) this.#load(question);
  }

  /** Asks again; after the answer that is under way, where one is. */
  changed(): void {
    if (this.loading) this.#late = true;
    else this.again();
  }

  #clear(): void {
    this.#stop();
    this.data = null;
    this.problem = null;
    this.loading = false;
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #load(question: { path: string; query: Query }): Promise<void> {
    this.#stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.loading = true;
    try {
      const data = await get<T>(question.path, question.query, abort.signal);
      if (abort.signal.aborted) return;
      this.data = data;
      this.problem = null;
      this.at = Date.now();
      this.#failures = 0;
    } catch (cause) {
      if (abort.signal.aborted) return;
      this.problem = cause instanceof Problem ? cause : new Problem(0, String(cause));
      this.#failures += 1;
    }
    this.loading = false;
    if (this.#late) {
      this.#late = false;
      this.again();
    } else this.#plan(question);
  }

  #plan(question: { path: string; query: Query }): void {
    const failed = this.problem !== null;
    const passing = failed && (this.problem?.status === 0 || (this.problem?.status ?? 0) >= 500);
    const base = this.#every() > 0 ? this.#every() : passing ? 2_000 : 0;
    if (base === 0 || (failed && !passing)) return;
    clearTimeout(this.#timer);
    const delay = Math.min(base * 2 ** Math.min(this.#failures, 5), Math.max(base, DELAY_MAX_MS));
    this.#timer = setTimeout(() => {
      if (document.hidden) this.#plan(question);
      else this.#load(question);
    }, delay);
  }
}
