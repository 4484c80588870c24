import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import type { BackendConfig } from "../../backend/index.js";
import { InvariantError } from "../../base/index.js";
import type { BuiltCheckpoint, CheckpointInput } from "../checkpoint/build-checkpoint.js";
import type { LoadedVolume, LoadProgress } from "../checkpoint/load-volume.js";
import type { SegmentInput } from "../log/encode-segment.js";
import type { LoadInput, MetaTasks } from "./meta-tasks.js";
import { errorOf, type MetaTask, type MetaTaskReply, type MetaWorkerData } from "./worker-protocol.js";

/** Segments come every second while somebody writes. */
const SEGMENTS_IDLE_TIMEOUT_MS = 10_000;

type Pool = Piscina<MetaTask, MetaTaskReply>;

/**
 * {@link MetaTasks} in threads of their own, started when there is something to do.
 *
 * Loading and building a checkpoint have a thread to themselves: they must not hold up a segment that an fsync waits for,
 * and take hundreds of megabytes, which are given back only with the end of the thread (docs/decisions/0006).
 */
export class WorkerTasks implements MetaTasks {
  readonly #segments: Pool;
  readonly #volumes: Pool;

  /** @param workerFile Compiled entry, when it is not the one beside this file or in `dist/`. */
  constructor(backend: BackendConfig, workerFile = findWorkerFile()) {
    const workerData: MetaWorkerData = { backend };
    const poolOf = (idleTimeout: number): Pool =>
      new Piscina<MetaTask, MetaTaskReply>({
        filename: workerFile,
        workerData,
        minThreads: 0,
        maxThreads: 1,
        idleTimeout,
        atomics: "disabled",
        recordTiming: false,
      });
    this.#segments = poolOf(SEGMENTS_IDLE_TIMEOUT_MS);
    this.#volumes = poolOf(0);
  }

  async encodeSegment(input: SegmentInput): Promise<readonly Uint8Array[]> {
    return (await run(this.#segments, { kind: "encode-segment", input }, [
      input.bytes.buffer,
    ])) as readonly Uint8Array[];
  }

  async buildCheckpoint(input: CheckpointInput): Promise<BuiltCheckpoint | undefined> {
    return (await run(this.#volumes, { kind: "build-checkpoint", input })) as BuiltCheckpoint | undefined;
  }

  async load(input: LoadInput, onProgress?: (progress: LoadProgress) => void): Promise<LoadedVolume> {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (progress: LoadProgress) => onProgress?.(progress));
    try {
      return (await run(this.#volumes, { kind: "load", input, progress: port2 }, [port2])) as LoadedVolume;
    } finally {
      port1.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#segments.destroy(), this.#volumes.destroy()]);
  }
}

async function run(
  pool: Pool,
  task: MetaTask,
  transferList: readonly (MessagePort | ArrayBuffer)[] = [],
): Promise<unknown> {
  const reply = await pool.run(task, { transferList: [...transferList] });
  if (reply.ok) return reply.result;
  throw errorOf(reply.failure);
}

/** Node 20 runs no TypeScript: a process that runs from the sources uses the build beside them. */
function findWorkerFile(): string {
  const beside = fileURLToPath(new URL("./worker-entry.cjs", import.meta.url));
  const built = fileURLToPath(new URL("../../../dist/meta/worker/worker-entry.cjs", import.meta.url));
  const found = [beside, built].find((path) => existsSync(path));
  if (found === undefined) throw new InvariantError(`${built} is not there: run "npm run build" first`);
  return found;
}
