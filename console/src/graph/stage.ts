// Between the pointer and the worker: keeps the last bitmap under the camera while it moves, and asks
// for a new one when it rests or when the view leaves what was drawn.

import type { Palette, View } from './draw.ts';
import type { Camera, Picture, Size } from './geometry.ts';
import type { Answer, Order } from './worker.ts';

/** Drawn around the view, so that a small move shows no edge. CSS pixels. */
const MARGIN = 192;
const REST_MS = 90;

export class Stage {
  camera: Camera = { x: 0, y: 0, k: 1 };
  /** Milliseconds of each redraw, the last ones; for the bench. */
  readonly redraws: number[] = [];

  #canvas: HTMLCanvasElement;
  #bitmaps: ImageBitmapRenderingContext | null;
  #worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  #size: Size = { width: 1, height: 1 };
  #palette: Palette;
  #drawn: View | null = null;
  #busy = false;
  #stale = true;
  #serial = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;
  #png: ((blob: Blob) => void) | null = null;
  #moved: (camera: Camera) => void;

  constructor(canvas: HTMLCanvasElement, palette: Palette, moved: (camera: Camera) => void) {
    this.#canvas = canvas;
    this.#bitmaps = canvas.getContext('bitmaprenderer');
    this.#palette = palette;
    this.#moved = moved;
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#answered(data);
  }

  end(): void {
    clearTimeout(this.#rest);
    cancelAnimationFrame(this.#frame);
    this.#worker.terminate();
  }

  show(picture: Picture): void {
    this.#order({ type: 'picture', picture });
    this.#redraw();
  }

  resize(size: Size): void {
    this.#size = size;
    this.#redraw();
  }

  paint(palette: Palette): void {
    this.#palette = palette;
    this.#redraw();
  }

  /** Moves the camera; what is on the screen follows in the next frame. */
  move(camera: Camera): void {
    this.camera = camera;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#place();
      this.#moved(this.camera);
      if (!this.#covers()) this.#redraw();
    });
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.#redraw(), REST_MS);
  }

  /** A PNG of the view, twice as fine as the screen. */
  png(): Promise<Blob> {
    return new Promise((resolve) => {
      this.#png = resolve;
      const { width, height } = this.#size;
      this.#order({ type: 'png', view: { camera: this.camera, width, height, dpr: 2, palette: this.#palette } });
    });
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #redraw(): void {
    if (this.#busy) {
      this.#stale = true;
      return;
    }
    this.#busy = true;
    this.#stale = false;
    this.#serial += 1;
    const { k } = this.camera;
    const view: View = {
      camera: { k, x: this.camera.x - MARGIN / k, y: this.camera.y - MARGIN / k },
      width: this.#size.width + 2 * MARGIN,
      height: this.#size.height + 2 * MARGIN,
      dpr: window.devicePixelRatio || 1,
      palette: this.#palette,
    };
    this.#order({ type: 'draw', view, serial: this.#serial });
  }

  #answered(answer: Answer): void {
    if (answer.type === 'png') {
      this.#png?.(answer.blob);
      return;
    }
    this.#busy = false;
    this.#drawn = answer.view;
    if (this.redraws.length >= 200) this.redraws.shift();
    this.redraws.push(answer.ms);
    this.#bitmaps?.transferFromImageBitmap(answer.bitmap);
    this.#canvas.style.width = `${answer.view.width}px`;
    this.#canvas.style.height = `${answer.view.height}px`;
    this.#place();
    if (this.#stale) this.#redraw();
  }

  #place(): void {
    const drawn = this.#drawn;
    if (!drawn) return;
    const scale = this.camera.k / drawn.camera.k;
    const x = (drawn.camera.x - this.camera.x) * this.camera.k;
    const y = (drawn.camera.y - this.camera.y) * this.camera.k;
    this.#canvas.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
  }

  /** True while the bitmap covers the whole view at a scale that is not yet blurred beyond use. */
  #covers(): boolean {
    const drawn = this.#drawn;
    if (!drawn) return true;
    const { x, y, k } = this.camera;
    const scale = k / drawn.camera.k;
    return (
      scale < 2 &&
      x >= drawn.camera.x &&
      y >= drawn.camera.y &&
      x + this.#size.width / k <= drawn.camera.x + drawn.width / drawn.camera.k &&
      y + this.#size.height / k <= drawn.camera.y + drawn.height / drawn.camera.k
    );
  }
}
