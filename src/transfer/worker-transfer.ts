import { setMaxListeners } from "node:events";
import { availableParallelism } from "node:os";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import { addCounters, type BackendCapabilities, type BackendConfig, createCounters } from "../backend/index.js";
import { type ChunkHash, ignore, type PackId, systemClock } from "../base/index.js";
import { TransferError } from "./errors.js";
import {
  type CountersDelta,
  type FromJob,
  type JobMessage,
  type JobOf,
  type JobReply,
  type JobResults,
  type JobType,
  STARTED_MESSAGE,
  type ToJob,
  type WorkerSetup,
} from "./jobs.js";
import { type Lane, Scheduler } from "./scheduler.js";
import type {
  ChunkOutcome,
  ChunkSource,
  ChunkTarget,
  Priority,
  Transfer,
  TransferCounters,
  UploadedPack,
} from "./transfer.js";
import { workerFile } from "./worker-file.js";

export interface TransferOptions {
  readonly backend: BackendConfig;
  /** What is known of it: the threads find nothing out. */
  readonly capabilities?: BackendCapabilities;
  /** Default: one per processor, at most four: beyond that the network or the disk is the limit. */
  readonly threads?: number;
  /** How long a fetch keeps trying while the backend does not answer; then its reader gets an error. */
  readonly fetchDeadlineMs?: number;
  /** How long {@link Transfer.close} lets jobs under way end by themselves. */
  readonly closeGraceMs?: number;
  /** Compiled worker entry, when it is not the one beside this file or in `dist/`. */
  readonly workerFile?: string;
}

const THREADS_MAX_DEFAULT = 4;
/** A training job survives a pause of minutes; an EIO ends it. */
const FETCH_DEADLINE_MS_DEFAULT = 5 * 60_000;
const CLOSE_GRACE_MS_DEFAULT = 5_000;
const START_TIMEOUT_MS = 10_000;
/** Most of a job's time is the network's, so a thread takes several. */
const FETCHES_PER_THREAD = 6;
/** A pack being uploaded is up to 64 MiB of memory. */
const UPLOADS_PER_THREAD = 3;
const REQUESTS_PER_THREAD = 16;

type IsKnown = (hash: ChunkHash) => boolean;

/** {@link Transfer} on a piscina pool. The main thread handles names and numbers; bytes stay in the workers. */
export class WorkerTransfer implements Transfer {
  readonly counters: TransferCounters = { ...createCounters(), lastError: undefined };
  readonly #pool: Piscina<JobMessage, JobReply>;
  readonly #scheduler: Scheduler;
  readonly #closeGraceMs: number;
  readonly #ports = new Set<MessagePort>();
  /** Resolves when all threads have started. */
  readonly #started: Promise<void>;

  constructor(options: TransferOptions) {
    const threads = options.threads ?? Math.min(Math.max(availableParallelism(), 1), THREADS_MAX_DEFAULT);
    const setup: WorkerSetup = {
      backend: options.backend,
      capabilities: options.capabilities,
      requestsMax: REQUESTS_PER_THREAD,
      fetchDeadlineMs: options.fetchDeadlineMs ?? FETCH_DEADLINE_MS_DEFAULT,
    };
    this.#closeGraceMs = options.closeGraceMs ?? CLOSE_GRACE_MS_DEFAULT;
    this.#scheduler = new Scheduler({ in: threads * FETCHES_PER_THREAD, out: threads * UPLOADS_PER_THREAD });
    this.#pool = new Piscina<JobMessage, JobReply>({
      filename: options.workerFile ?? workerFile(),
      workerData: setup,
      minThreads: threads,
      maxThreads: threads,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: FETCHES_PER_THREAD + UPLOADS_PER_THREAD,
      // An idle thread that sleeps in Atomics.wait would not notice that the server has closed its connections.
      atomics: "disabled",
      recordTiming: false,
    });
    this.#started = new Promise((resolve) => {
      let started = 0;
      this.#pool.on("message", (message: unknown) => {
        if (message === STARTED_MESSAGE && ++started === threads) resolve();
      });
    });
    // Without a listener a thread that dies between two jobs would end the process; the pool starts another one.
    this.#pool.on("error", (error: unknown) => {
      this.counters.lastError = `a transfer thread died: ${error instanceof Error ? error.message : String(error)}`;
    });
  }

  uploadPack(
    sources: readonly ChunkSource[],
    isKnown: IsKnown,
    priority: Priority,
    signal?: AbortSignal,
  ): Promise<UploadedPack> {
    return this.#run("out", priority, signal, { type: "upload", sources }, isKnown);
  }

  fetchChunks(
    pack: PackId,
    targets: readonly ChunkTarget[],
    priority: Priority,
    signal?: AbortSignal,
  ): Promise<readonly ChunkOutcome[]> {
    return this.#run("in", priority, signal, { type: "fetch", pack, targets });
  }

  async fetchWindow(
    pack: PackId,
    offset: number,
    length: number,
    mirrorPath: string,
    priority: Priority,
  ): Promise<void> {
    await this.#run("in", priority, undefined, { type: "window", pack, offset, length, path: mirrorPath });
  }

  extractChunks(
    mirrorPath: string,
    targets: readonly ChunkTarget[],
    priority: Priority,
  ): Promise<readonly ChunkOutcome[]> {
    return this.#run("in", priority, undefined, { type: "extract", path: mirrorPath, targets });
  }

  /** Jobs that wait fail; those under way get the grace period, then they are aborted. */
  async close(): Promise<void> {
    const ended = this.#scheduler.close();
    const grace = setTimeout(() => this.#abortAll(), this.#closeGraceMs);
    await ended;
    clearTimeout(grace);
    // Terminating a thread that is still loading its modules is asking for trouble (see worker-entry.cts).
    const giveUp = new AbortController();
    await Promise.race([this.#started, systemClock.sleep(START_TIMEOUT_MS, giveUp.signal).catch(ignore)]);
    giveUp.abort();
    await this.#pool.destroy();
  }

  #abortAll(): void {
    for (const port of this.#ports) post(port, { type: "abort" });
  }

  #run<T extends JobType>(
    lane: Lane,
    priority: Priority,
    signal: AbortSignal | undefined,
    job: JobOf<T>,
    isKnown?: IsKnown,
  ): Promise<JobResults[T]> {
    // One signal may end any number of jobs; Node warns of more than ten listeners, which would be a leak elsewhere.
    if (signal !== undefined) setMaxListeners(0, signal);
    return this.#scheduler.run(lane, priority, signal, () => this.#perform(job, signal, isKnown));
  }

  async #perform<T extends JobType>(
    job: JobOf<T>,
    signal: AbortSignal | undefined,
    isKnown: IsKnown = () => false,
  ): Promise<JobResults[T]> {
    const { port1: port, port2 } = new MessageChannel();
    const abort = (): void => post(port, { type: "abort" });
    signal?.addEventListener("abort", abort, { once: true });
    this.#ports.add(port);
    let refusal: { readonly error: unknown } | undefined;
    port.on("message", (message: FromJob) => {
      if (message.type === "counters") return this.#count(message.counters);
      try {
        post(port, { type: "known", known: message.hashes.map(isKnown) });
      } catch (error) {
        refusal = { error };
        abort();
      }
    });
    // The job keeps the process alive while it runs; a port that waits for news need not.
    port.unref();
    try {
      const reply = await this.#pool.run({ job, port: port2 }, { transferList: [port2] });
      if (reply.counters !== undefined) this.#count(reply.counters);
      if (reply.ok) return reply.result as JobResults[T];
      if (refusal !== undefined) throw refusal.error;
      const { kind, message, retryable } = reply.failure;
      throw new TransferError(kind, message, { retryable });
    } catch (error) {
      if (error instanceof TransferError || refusal !== undefined) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new TransferError("worker", `a transfer thread failed: ${message}`, { retryable: true, cause: error });
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#ports.delete(port);
      port.close();
    }
  }

  #count(delta: CountersDelta): void {
    const { lastError, ...counters } = delta;
    addCounters(this.counters, counters);
    if (lastError !== undefined) this.counters.lastError = lastError;
  }
}

function post(port: MessagePort, message: ToJob): void {
  port.postMessage(message);
}
