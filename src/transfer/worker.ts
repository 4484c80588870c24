import { parentPort, workerData } from "node:worker_threads";
import { isBackendError } from "../backend/index.js";
import { TransferError, type TransferFailure } from "./errors.js";
import {
  ABORT_MESSAGE,
  type Job,
  type JobMessage,
  type JobReply,
  type JobResults,
  type JobType,
  STARTED_MESSAGE,
} from "./jobs.js";
import { WorkerContext } from "./worker/context.js";
import { fetchChunks } from "./worker/fetch-chunks.js";
import { hashFiles } from "./worker/hash-files.js";
import { extractChunks, fetchWindow } from "./worker/mirror-jobs.js";
import { uploadPack } from "./worker/upload-pack.js";

// Every job awaits it, and reports its failure; without any job there is nobody to tell.
const opening = WorkerContext.open(workerData);
void opening.catch(() => {}).then(() => parentPort?.postMessage(STARTED_MESSAGE));

/** One job. Several share a thread: while one waits for the network another computes. */
export async function run({ job, port }: JobMessage): Promise<JobReply> {
  const abort = new AbortController();
  port.on("message", (message) => {
    if (message === ABORT_MESSAGE) abort.abort(new TransferError("aborted", `${job.type}: aborted`));
  });
  try {
    const context = await opening;
    const endReports = context.onRetry(() => port.postMessage(context.takeCounters()));
    try {
      const result = await perform(context, job, abort.signal);
      return { ok: true, result, counters: context.takeCounters() };
    } catch (error) {
      return { ok: false, failure: failureOf(error, abort.signal), counters: context.takeCounters() };
    } finally {
      endReports();
    }
  } catch (error) {
    return { ok: false, failure: failureOf(error, abort.signal), counters: undefined };
  } finally {
    port.close();
  }
}

function perform(context: WorkerContext, job: Job, signal: AbortSignal): Promise<JobResults[JobType]> {
  switch (job.type) {
    case "hash":
      return hashFiles(job.files);
    case "upload":
      return uploadPack(context, job.sources, signal);
    case "fetch":
      return fetchChunks(context, job.pack, job.targets, signal);
    case "window":
      return fetchWindow(context, job, signal).then(() => undefined);
    case "extract":
      return extractChunks(job.path, job.targets);
  }
}

function failureOf(error: unknown, signal: AbortSignal): TransferFailure {
  if (signal.aborted) return { kind: "aborted", message: "aborted", retryable: true };
  if (error instanceof TransferError) {
    return { kind: error.kind, message: error.message, retryable: error.retryable };
  }
  if (isBackendError(error)) return { kind: "backend", message: error.message, retryable: error.retryable };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { kind: "worker", message, retryable: false };
}
