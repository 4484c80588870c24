import type { MessagePort } from "node:worker_threads";
import type { BackendCapabilities, BackendConfig } from "../backend/index.js";
import type { ChunkHash, PackId } from "../base/index.js";
import type { TransferFailure } from "./errors.js";
import type { ChunkOutcome, ChunkSource, ChunkTarget, TransferCounters, UploadedPack } from "./transfer.js";

/** What every worker thread is started with. */
export interface WorkerSetup {
  readonly backend: BackendConfig;
  readonly capabilities: BackendCapabilities | undefined;
  /** Requests one thread has under way at once. */
  readonly requestsMax: number;
  /** How long a fetch keeps trying while the backend does not answer. */
  readonly fetchDeadlineMs: number;
}

/** One task for a worker thread: names and numbers only, the bytes stay where they are. */
export type Job =
  | { readonly type: "upload"; readonly sources: readonly ChunkSource[] }
  | { readonly type: "fetch"; readonly pack: PackId; readonly targets: readonly ChunkTarget[] }
  | {
      readonly type: "window";
      readonly pack: PackId;
      readonly offset: number;
      readonly length: number;
      readonly path: string;
    }
  | { readonly type: "extract"; readonly path: string; readonly targets: readonly ChunkTarget[] };

/** What each type of job answers. */
export interface JobResults {
  readonly upload: UploadedPack;
  readonly fetch: readonly ChunkOutcome[];
  readonly window: undefined;
  readonly extract: readonly ChunkOutcome[];
}
export type JobType = Job["type"];
export type JobOf<T extends JobType> = Extract<Job, { readonly type: T }>;

/** What is handed to the pool. While the job runs, the port takes {@link ToJob} one way and {@link FromJob} the other. */
export interface JobMessage {
  readonly job: Job;
  readonly port: MessagePort;
}

/** What a thread tells the pool once, when it has loaded everything it needs. */
export const STARTED_MESSAGE = "started";

/** The main thread to a job: give up; or the answer to its question. */
export type ToJob = { readonly type: "abort" } | { readonly type: "known"; readonly known: readonly boolean[] };

/** A job to the main thread: what it has counted; or which of these chunks the volume has, asked once at most. */
export type FromJob =
  | { readonly type: "counters"; readonly counters: CountersDelta }
  | { readonly type: "is-known"; readonly hashes: readonly ChunkHash[] };

/** Traffic since the thread last told, so that sums over threads and messages are right. */
export type CountersDelta = TransferCounters;

export type JobReply =
  | { readonly ok: true; readonly result: JobResults[JobType]; readonly counters: CountersDelta }
  | { readonly ok: false; readonly failure: TransferFailure; readonly counters: CountersDelta | undefined };
