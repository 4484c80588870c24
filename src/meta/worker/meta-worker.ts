import { workerData } from "node:worker_threads";
import { createObjectStore, withRetry } from "../../backend/index.js";
import { ignore } from "../../base/index.js";
import { loadCompressor } from "../../format/index.js";
import { encodeSegment } from "../log/encode-segment.js";
import type { InlineTasks } from "./meta-tasks.js";
import { failureOf, type MetaTask, type MetaTaskReply, type MetaWorkerData } from "./worker-protocol.js";

// Entry file of a worker thread. Every task awaits what it needs of these, and reports the failure.
const compressor = loadCompressor();
compressor.catch(ignore);
let opening: Promise<InlineTasks> | undefined;

export async function run(task: MetaTask): Promise<MetaTaskReply> {
  try {
    return { ok: true, result: await perform(task) };
  } catch (error) {
    return { ok: false, failure: failureOf(error) };
  }
}

async function perform(task: MetaTask): Promise<unknown> {
  await compressor;
  // Somebody's fsync waits for it, and it needs no backend: the SDK and LMDB take three times as long to load as all else.
  if (task.kind === "encode-segment") return encodeSegment(task.input);
  opening ??= open(workerData as MetaWorkerData);
  const tasks = await opening;
  if (task.kind === "build-checkpoint") return await tasks.buildCheckpoint(task.input);
  try {
    return await tasks.load(task.input, (progress) => task.progress.postMessage(progress));
  } finally {
    task.progress.close();
  }
}

/** It opens the backend by itself, as objects cannot cross threads. */
async function open({ backend }: MetaWorkerData): Promise<InlineTasks> {
  const [{ InlineTasks }, store] = await Promise.all([import("./meta-tasks.js"), createObjectStore(backend)]);
  return new InlineTasks(withRetry(store));
}
