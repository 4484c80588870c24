import type { MetaTask, MetaTaskReply } from "./worker-protocol.js";

/** What the pool loads in its threads; CommonJS for the reason that `transfer/worker-entry.cts` gives. */
const loading = import("./meta-worker.js");

async function run(task: MetaTask): Promise<MetaTaskReply> {
  const worker = await loading;
  return worker.run(task);
}

export = run;
