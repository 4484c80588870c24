import { parentPort, workerData } from "node:worker_threads";
import { isBackendError } from "../backend/index.js";
import { Deferred, orAborted } from "../base/index.js";
import { TransferError, type TransferFailure } from "./errors.js";
import {
  type FromJob,
  type Job,
  type JobMessage,
  type JobReply,
  type JobResults,
  type JobType,
  STARTED_MESSAGE,
  type ToJob,
} from "./jobs.js";
import { WorkerContext } from "./worker/context.js";
import { fetchChunks } from "./worker/fetch-chunks.js";
import { extractChunks, fetchWindow } from "./worker/mirror-jobs.js";
import { type AskKnown, uploadPack } from "./worker/upload-pack.js";

// Every job awaits it, and reports its failure; without any job there is nobody to tell.
const opening = WorkerContext.open(workerData);
void opening.catch(() => {}).then(() => parentPort?.postMessage(STARTED_MESSAGE));

/** One job. Several share a thread: while one waits for the network another computes. */
export async function run({ job, port }: JobMessage): Promise<JobReply> {
  const abort = new AbortController();
  const known = new Deferred<readonly boolean[]>();
  const tell = (message: FromJob): void => port.postMessage(message);
  port.on("message", (message: ToJob) => {
    if (message.type === "known") known.resolve(message.known);
    else abort.abort(new TransferError("aborted", `${job.type}: aborted`));
  });
  const askKnown: AskKnown = (hashes) => {
    tell({ type: "is-known", hashes });
    return orAborted(known.promise, abort.signal);
  };
  try {
    const context = await opening;
    const endReports = context.onRetry(() => tell({ type: "counters", counters: context.takeCounters() }));
    try {
      const result = await perform({ context, askKnown, signal: abort.signal }, job);
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

interface JobTools {
  readonly context: WorkerContext;
  readonly askKnown: AskKnown;
  readonly signal: AbortSignal;
}

function perform({ context, askKnown, signal }: JobTools, job: Job): Promise<JobResults[JobType]> {
  switch (job.type) {
    case "upload":
      return uploadPack(context, job.sources, askKnown, signal);
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
