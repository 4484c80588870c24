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

/** A checkpoint being built must not hold up a segment that an fsync waits for. */
const THREADS_MAX = 2;
const IDLE_TIMEOUT_MS = 10_000;

/** {@link MetaTasks} in threads of their own, started when there is something to do. */
export class WorkerTasks implements MetaTasks {
  readonly #pool: Piscina<MetaTask, MetaTaskReply>;

  /** @param workerFile Compiled entry, when it is not the one beside this file or in `dist/`. */
  constructor(backend: BackendConfig, workerFile = findWorkerFile()) {
    const workerData: MetaWorkerData = { backend };
    this.#pool = new Piscina<MetaTask, MetaTaskReply>({
      filename: workerFile,
      workerData,
      minThreads: 0,
      maxThreads: THREADS_MAX,
      idleTimeout: IDLE_TIMEOUT_MS,
      atomics: "disabled",
      recordTiming: false,
    });
  }

  async encodeSegment(input: SegmentInput): Promise<readonly Uint8Array[]> {
    return (await this.#run({ kind: "encode-segment", input }, [input.bytes.buffer])) as readonly Uint8Array[];
  }

  async buildCheckpoint(input: CheckpointInput): Promise<BuiltCheckpoint | undefined> {
    return (await this.#run({ kind: "build-checkpoint", input })) as BuiltCheckpoint | undefined;
  }

  async load(input: LoadInput, onProgress?: (progress: LoadProgress) => void): Promise<LoadedVolume> {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (progress: LoadProgress) => onProgress?.(progress));
    try {
      return (await this.#run({ kind: "load", input, progress: port2 }, [port2])) as LoadedVolume;
    } finally {
      port1.close();
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #run(task: MetaTask, transferList: readonly (MessagePort | ArrayBuffer)[] = []): Promise<unknown> {
    const reply = await this.#pool.run(task, { transferList: [...transferList] });
    if (reply.ok) return reply.result;
    throw errorOf(reply.failure);
  }
}

/** Node 20 runs no TypeScript: a process that runs from the sources uses the build beside them. */
function findWorkerFile(): string {
  const beside = fileURLToPath(new URL("./worker-entry.cjs", import.meta.url));
  const built = fileURLToPath(new URL("../../../dist/meta/worker/worker-entry.cjs", import.meta.url));
  const found = [beside, built].find((path) => existsSync(path));
  if (found === undefined) throw new InvariantError(`${built} is not there: run "npm run build:ts" first`);
  return found;
}
