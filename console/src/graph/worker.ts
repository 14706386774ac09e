// Draws off the main thread: takes a picture and cameras, gives back bitmaps.

import { draw, type View } from './draw.ts';
import type { Picture } from './geometry.ts';

export type Order =
  | { type: 'picture'; picture: Picture }
  | { type: 'draw'; view: View; serial: number }
  | { type: 'png'; view: View };

export type Answer =
  | { type: 'drawn'; bitmap: ImageBitmap; view: View; serial: number; ms: number }
  | { type: 'png'; blob: Blob };

declare const self: DedicatedWorkerGlobalScope;

let picture: Picture = { layer: 'verdict', areas: [], dots: [], lines: [] };
const canvas = new OffscreenCanvas(1, 1);
const ctx = canvas.getContext('2d', { alpha: false });

function paint(view: View): void {
  const width = Math.max(1, Math.round(view.width * view.dpr));
  const height = Math.max(1, Math.round(view.height * view.dpr));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  if (ctx) draw(ctx, picture, view);
}

self.onmessage = async ({ data }: MessageEvent<Order>) => {
  switch (data.type) {
    case 'picture':
      picture = data.picture;
      break;
    case 'draw': {
      const start = performance.now();
      paint(data.view);
      const bitmap = canvas.transferToImageBitmap();
      const ms = performance.now() - start;
      const answer: Answer = { type: 'drawn', bitmap, view: data.view, serial: data.serial, ms };
      self.postMessage(answer, [bitmap]);
      break;
    }
    case 'png': {
      paint(data.view);
      const answer: Answer = { type: 'png', blob: await canvas.convertToBlob({ type: 'image/png' }) };
      self.postMessage(answer);
      break;
    }
  }
};
