// The driver and the tally of peers on Node: the same measurements and the same lines as driver.py and tally.py.

import { createRequire } from "node:module";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";

const INTERVAL_MS = 10;
const PAYLOAD = "x".repeat(100);

// A package of the peer's own environment.
export const required = createRequire(`${process.env.BENCH_ENVIRONMENT}/`);

let count = 0;
let told = 0;
let connection;

// A handler began.
export function begun() {
  count += 1;
  open();
}

// A handler began whose job was sent at `sent` (seconds since 1970).
export function late(sent) {
  open().write(`late ${(now() - sent) * 1e3}\n`);
}

// What the command line says: single N, fill N or stamp N; `stamp` a job for each line of the standard input.
export async function produce({ one, stamp, many, batch = 1000 }) {
  const [what, jobs] = [process.argv[2], Number(process.argv[3])];
  const measurements = { single: () => single(one, jobs), fill: () => fill(one, many, jobs, batch), stamp: () => stamped(stamp, jobs) };
  console.log(JSON.stringify(await measurements[what]()));
}

function now() {
  return (performance.timeOrigin + performance.now()) / 1e3;
}

function open() {
  if (!connection) {
    connection = createConnection(process.env.BENCH_TALLY);
    setInterval(tell, INTERVAL_MS).unref();
  }
  return connection;
}

function tell() {
  if (count !== told) connection.write(`${process.pid} ${count} ${now()}\n`);
  told = count;
}

async function single(one, jobs) {
  const times = [];
  for (let i = 0; i < 10; i++) await one(PAYLOAD);
  for (let i = 0; i < jobs; i++) {
    const began = performance.now();
    await one(PAYLOAD);
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const total = times.reduce((a, b) => a + b, 0);
  return { jobs_per_s: (jobs / total) * 1e3, p50_ms: times[jobs >> 1], p99_ms: times[Math.floor((jobs * 99) / 100)] };
}

async function fill(one, many, jobs, batch) {
  const began = performance.now();
  for (let start = 0; start < jobs; start += batch) {
    const texts = Array(Math.min(batch, jobs - start)).fill(PAYLOAD);
    if (many) await many(texts);
    else for (const text of texts) await one(text);
  }
  return { jobs_per_s: (jobs / (performance.now() - began)) * 1e3 };
}

async function stamped(stamp, jobs) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (let i = 0; i < jobs; i++) {
    if ((await lines.next()).done) break;
    await stamp(now());
  }
  process.stdin.destroy();
  return {};
}
