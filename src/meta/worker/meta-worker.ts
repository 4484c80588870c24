import { workerData } from "node:worker_threads";
import { createObjectStore, withRetry } from "../../backend/index.js";
import { ignore } from "../../base/index.js";
import { loadCompressor } from "../../format/index.js";
import { InlineTasks } from "./meta-tasks.js";
import { failureOf, type MetaTask, type MetaTaskReply, type MetaWorkerData } from "./worker-protocol.js";

// Entry file of a worker thread: it opens the backend by itself, as objects cannot cross threads.
const opening = open(workerData as MetaWorkerData);
// Every task awaits it, and reports its failure; without any task there is nobody to tell.
opening.catch(ignore);

export async function run(task: MetaTask): Promise<MetaTaskReply> {
  try {
    return { ok: true, result: await perform(await opening, task) };
  } catch (error) {
    return { ok: false, failure: failureOf(error) };
  }
}

async function open({ backend }: MetaWorkerData): Promise<InlineTasks> {
  const [store] = await Promise.all([createObjectStore(backend), loadCompressor()]);
  return new InlineTasks(withRetry(store));
}

async function perform(tasks: InlineTasks, task: MetaTask): Promise<unknown> {
  switch (task.kind) {
    case "encode-segment":
      return await tasks.encodeSegment(task.input);
    case "build-checkpoint":
      return await tasks.buildCheckpoint(task.input);
    case "load":
      try {
        return await tasks.load(task.input, (progress) => task.progress.postMessage(progress));
      } finally {
        task.progress.close();
      }
  }
}
