// /// script
// dependencies = ["bullmq==6.7.0", "ioredis==6.0.0"]
// [tool.bench]
// worker = ["node", "{file}", "work"]
// pace = 13000
// bulk = "addBulk, 1,000 a call"
// transport = "unix socket"
// durability = "the server's AOF, every second"
// acknowledgement = "after the job; locks of 30 s, stalled jobs come back"
// results = "removed on completion"
// settings = "concurrency 100, no metrics"
// ///
// BullMQ on Node: lists, hashes and sorted sets behind Lua.

import { begun, late, produce, required } from "./tally.mjs";

const { Queue, Worker } = required("bullmq");
const connection = { path: process.env.BENCH_SOCKET, maxRetriesPerRequest: null };
const opts = { removeOnComplete: true, removeOnFail: true };

if (process.argv[2] === "work") {
  const run = async (job) => (job.name === "stamp" ? late(job.data.sent) : begun());
  const worker = new Worker("bench", run, { connection, concurrency: 100 });
  process.on("SIGTERM", () => worker.close(true).then(() => process.exit(0)));
} else {
  const queue = new Queue("bench", { connection });
  await queue.waitUntilReady();
  await produce({
    one: (text) => queue.add("noop", { text }, opts),
    stamp: (sent) => queue.add("stamp", { sent }, opts),
    many: (texts) => queue.addBulk(texts.map((text) => ({ name: "noop", data: { text }, opts }))),
  });
  await queue.close();
}
