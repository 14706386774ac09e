// The picture as an SVG file: for documents, so in light colours and at full size.

import { outline, type Palette } from './draw.ts';
import { type Dot, lineWidth, type Picture, pointAt } from './geometry.ts';
import { STYLES } from './looks.ts';

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '');
}

function shape(dot: Dot): string {
  const { x, y, r } = dot;
  switch (outline(dot.kind)) {
    case 'circle':
      return `<circle cx="${x}" cy="${y}" r="${r}"`;
    case 'square':
      return `<rect x="${x - r * 0.9}" y="${y - r * 0.9}" width="${r * 1.8}" height="${r * 1.8}" rx="${r * 0.25}"`;
    case 'diamond': {
      const d = r * 1.15;
      return `<polygon points="${x + d},${y} ${x},${y + d} ${x - d},${y} ${x},${y - d}"`;
    }
    case 'hexagon': {
      const points = [0, 1, 2, 3, 4, 5].map((corner) => {
        const angle = (corner * Math.PI) / 3;
        return `${(x + Math.cos(angle) * r).toFixed(1)},${(y + Math.sin(angle) * r).toFixed(1)}`;
      });
      return `<polygon points="${points.join(' ')}"`;
    }
  }
}

/** Half a glyph: what policies select what comes to it (left) or goes from it (right). */
function half(dot: Dot, of: 'ingress' | 'egress', palette: Palette): string {
  const r = dot.r - 4;
  const path = `<path d="M${dot.x} ${dot.y - r}A${r} ${r} 0 0 ${of === 'ingress' ? 0 : 1} ${dot.x} ${dot.y + r}Z"`;
  if (dot[of] === 'enforced') return `${path} fill="${palette.accent}"/>`;
  return dot[of] === 'staged' ? `${path} fill="none" stroke="${palette.would}" stroke-width="2"/>` : '';
}

/** Prints `picture` inside `box` as a whole SVG document that asks for nothing outside. */
export function svg(
  picture: Picture,
  box: { x: number; y: number; width: number; height: number },
  palette: Palette,
  title: string,
): string {
  const out: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box.x - 16} ${box.y - 16} ${box.width + 32} ${box.height + 32}" font-family="sans-serif">`,
    `<title>${escape(title)}</title>`,
    `<rect x="${box.x - 16}" y="${box.y - 16}" width="${box.width + 32}" height="${box.height + 32}" fill="${palette.bg}"/>`,
  ];
  for (const area of picture.areas) {
    const fill = area.kind === 'cluster' ? palette.sunken : palette.panel;
    out.push(
      `<rect x="${area.x}" y="${area.y}" width="${area.w}" height="${area.h}" rx="6" fill="${fill}" stroke="${palette.line}"/>`,
      `<text x="${area.x + 10}" y="${area.y + 20}" font-size="12" font-weight="600" fill="${palette.soft}">${escape(area.name)}</text>`,
    );
  }
  for (const line of picture.lines) {
    const c = line.curve;
    const { tone, dash: dashes } = STYLES[line.look];
    const colour = palette[tone];
    const stroke = dashes.length > 0 ? ` stroke-dasharray="${dashes.join(' ')}"` : '';
    out.push(
      `<path d="M${c.x0.toFixed(1)} ${c.y0.toFixed(1)}Q${c.cx.toFixed(1)} ${c.cy.toFixed(1)} ${c.x1.toFixed(1)} ${c.y1.toFixed(1)}" fill="none" stroke="${colour}" stroke-width="${lineWidth(line.connections).toFixed(1)}"${stroke}><title>${escape(`${line.source} → ${line.destination}: ${line.verdict}`)}</title></path>`,
    );
    const angle = (Math.atan2(c.y1 - c.cy, c.x1 - c.cx) * 180) / Math.PI;
    const head = line.verdict === 'denied' ? '<path d="M0 -6V6" stroke-width="3" stroke="' + palette.denied + '"/>' : `<path d="M4 0L-4 3.5V-3.5Z" fill="${colour}"/>`;
    if (line.text !== '') {
      const { x, y } = pointAt(c, 0.5);
      out.push(`<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-size="10" text-anchor="middle" fill="${palette.soft}">${escape(line.text)}</text>`);
    }
    out.push(`<g transform="translate(${c.x1.toFixed(1)} ${c.y1.toFixed(1)}) rotate(${angle.toFixed(1)})">${head}</g>`);
  }
  for (const dot of picture.dots) {
    const halves = picture.layer === 'coverage';
    const fill = !halves && dot.state === 'enforced' ? palette.accent : palette.panel;
    const stroke = !halves && dot.state === 'staged' ? palette.would : palette.ink;
    out.push(
      `${shape(dot)} fill="${fill}" stroke="${stroke}" stroke-width="1.6"/>`,
      `<text x="${dot.x}" y="${dot.y + dot.r + 13}" font-size="11" text-anchor="middle" fill="${palette.ink}" stroke="${palette.panel}" stroke-width="3" paint-order="stroke">${escape(dot.name)}</text>`,
    );
  }
  if (picture.layer === 'coverage') out.push(...picture.dots.flatMap((dot) => [half(dot, 'ingress', palette), half(dot, 'egress', palette)]));
  out.push('</svg>\n');
  return out.join('\n');
}
