// Measures what many viewers cost a server: each holds the stream of changes open and asks for the map
// after each change, at most once a second, as the console does.
//
//   node bench/viewers.mjs 'http://127.0.0.1:PORT/#token=…' PID [viewers] [seconds]
//
// PID is the server's: its own time on processors is told, and that of the machine.
import { readFileSync } from 'node:fs';

const [link, pid, viewers = '50', seconds = '60'] = process.argv.slice(2);
const { origin, hash } = new URL(link);
const headers = { authorization: `Bearer ${hash.slice('#token='.length)}` };
const scene = `${origin}/api/v1/scene?by=workload&since=24h&hide_dns=true&hide_probes=true&hide_scrapes=true&hide_noise=true`;
const ticks = (path) => {
  const fields = readFileSync(path, 'utf8').split(') ')[1].split(' ');
  return Number(fields[11]) + Number(fields[12]);
};
const machine = () => readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1).map(Number);
let asked = 0;
let bytes = 0;
let told = 0;
const delays = [];
const end = Date.now() + Number(seconds) * 1_000 + 2_000;

async function viewer() {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), end - Date.now());
  let last = 0;
  let waiting = false;
  const ask = async () => {
    waiting = false;
    last = Date.now();
    const answer = await fetch(scene, { headers, signal: stop.signal });
    bytes += (await answer.arrayBuffer()).byteLength;
    asked += 1;
    delays.push(Date.now() - last);
  };
  try {
    const stream = await fetch(`${origin}/api/v1/changes`, { headers, signal: stop.signal });
    for await (const chunk of stream.body) {
      if (!Buffer.from(chunk).includes('event: change')) continue;
      told += 1;
      if (waiting) continue;
      waiting = true;
      setTimeout(() => ask().catch(() => {}), Math.max(0, last + 1_000 - Date.now()));
    }
  } catch (cause) {
    if (!stop.signal.aborted) throw cause;
  }
}

const all = Array.from({ length: Number(viewers) }, viewer);
await new Promise((resolve) => setTimeout(resolve, 2_000));
const [began, before, around] = [Date.now(), ticks(`/proc/${pid}/stat`), machine()];
asked = 0;
bytes = 0;
told = 0;
await new Promise((resolve) => setTimeout(resolve, Number(seconds) * 1_000));
const passed = (Date.now() - began) / 1_000;
const cores = (ticks(`/proc/${pid}/stat`) - before) / 100 / passed;
const used = machine().map((now, index) => now - around[index]);
const sum = used.reduce((a, b) => a + b, 0);
delays.sort((a, b) => a - b);
if (asked === 0) delays.push(0);
console.log(
  `${viewers} viewers, ${passed.toFixed(0)} s: server ${cores.toFixed(2)} cores; ${(told / passed).toFixed(1)} changes told/s, ` +
    `${(asked / passed).toFixed(1)} maps/s, ${(bytes / Math.max(1, asked) / 1_024).toFixed(0)} KB each, answered in ${delays[delays.length >> 1]} ms (95%: ${delays[Math.floor(delays.length * 0.95)]}); ` +
    `machine ${(100 * (1 - used[3] / sum)).toFixed(0)} % busy`,
);
await Promise.allSettled(all);
process.exit(0);
