// /// script
// dependencies = ["graphile-worker==0.17.3"]
// [tool.bench]
// worker = ["node", "{file}", "work"]
// pace = 12000
// bulk = "addJobs, 1,000 a call"
// transport = "unix socket"
// durability = "PostgreSQL's WAL, synchronous_commit=off (as far behind as AOF every second, or less)"
// acknowledgement = "after the job, in batches; a dead worker's jobs come back after 4 hours"
// results = "not kept (it has none)"
// settings = "local queue 500, concurrency 24, batched completion and failure (delay 0), shared_buffers 256 MB"
// server = "postgres"
// ///
// Graphile Worker: jobs in a table of PostgreSQL.

import { begun, late, produce, required } from "./tally.mjs";

const { run, makeWorkerUtils, Logger } = required("graphile-worker");
const connectionString = process.env.BENCH_POSTGRES;
const logger = new Logger(() => () => {});
const taskList = {
  noop: async () => begun(),
  stamp: async (payload) => late(payload.sent),
};

if (process.argv[2] === "work") {
  const preset = {
    worker: {
      connectionString,
      concurrentJobs: 24,
      maxPoolSize: 26,
      pollInterval: 2000,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger,
    },
  };
  await run({ preset, taskList });
} else {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await produce({
    one: (text) => utils.addJob("noop", { text }),
    stamp: (sent) => utils.addJob("stamp", { sent }),
    many: (texts) => utils.addJobs(texts.map((text) => ({ identifier: "noop", payload: { text } }))),
  });
  await utils.release();
}
