import { type BackendError, isBackendError } from "../../backend/index.js";
import { Limiter, type PackId } from "../../base/index.js";
import { decodeChunk, FormatError, packObjectKey } from "../../format/index.js";
import { type PlannedRange, planRanges } from "../fetch-plan.js";
import type { ChunkOutcome, ChunkTarget } from "../transfer.js";
import type { WorkerContext } from "./context.js";
import { LocalFiles } from "./local-files.js";
import { Pacer } from "./pacer.js";

/** GETs of one job under way at once. */
const GETS_MAX = 4;

/** Brings chunks of one pack from the backend into their files. Failures are outcomes of the targets they concern. */
export async function fetchChunks(
  context: WorkerContext,
  pack: PackId,
  targets: readonly ChunkTarget[],
  signal: AbortSignal,
): Promise<ChunkOutcome[]> {
  const outcomes = new Map<ChunkTarget, ChunkOutcome>();
  const files = new LocalFiles("write");
  const limiter = new Limiter(GETS_MAX);
  const fetchRange = (range: PlannedRange<ChunkTarget>): Promise<void> =>
    limiter.run(() => new RangeFetch({ context, pack, files, outcomes, signal }).run(range), signal);
  try {
    // All of them end before the files are closed under them.
    const ended = await Promise.allSettled(planRanges(targets).map(fetchRange));
    for (const end of ended) if (end.status === "rejected") throw end.reason;
  } finally {
    files.closeAll();
  }
  return targets.map((target) => outcomes.get(target));
}

interface FetchScope {
  readonly context: WorkerContext;
  readonly pack: PackId;
  readonly files: LocalFiles;
  readonly outcomes: Map<ChunkTarget, ChunkOutcome>;
  readonly signal: AbortSignal;
}

/** One ranged GET, its chunks checked and written. */
class RangeFetch {
  readonly #scope: FetchScope;
  readonly #key: string;

  constructor(scope: FetchScope) {
    this.#scope = scope;
    this.#key = packObjectKey(scope.pack);
  }

  async run(range: PlannedRange<ChunkTarget>): Promise<void> {
    const { context } = this.#scope;
    const damaged = await context.lend(range.length, (buffer) => this.#fetch(range, buffer));
    for (const target of damaged) {
      await context.lend(target.storedLength, (buffer) => this.#again(target, buffer));
    }
  }

  /** Returns those that came damaged. */
  async #fetch(range: PlannedRange<ChunkTarget>, buffer: Buffer): Promise<ChunkTarget[]> {
    const body = await this.#get(range, buffer);
    if (!(body instanceof Uint8Array)) {
      for (const target of range.targets) this.#scope.outcomes.set(target, body);
      return [];
    }
    const damaged: ChunkTarget[] = [];
    const pacer = new Pacer();
    for (const target of range.targets) {
      const stored = body.subarray(target.offset - range.offset, target.offset - range.offset + target.storedLength);
      if (this.#write(target, stored) !== undefined) damaged.push(target);
      await pacer.turn();
    }
    return damaged;
  }

  /** Damage on the way passes: only what is wrong twice is wrong in the backend. */
  async #again(target: ChunkTarget, buffer: Buffer): Promise<void> {
    const body = await this.#get({ offset: target.offset, length: target.storedLength }, buffer);
    if (!(body instanceof Uint8Array)) {
      this.#scope.outcomes.set(target, body);
      return;
    }
    const damage = this.#write(target, body);
    if (damage === undefined) return;
    const where = `${this.#scope.context.url}: ${this.#key}, bytes ${target.offset}+${target.storedLength}`;
    this.#scope.outcomes.set(target, { kind: "corrupt", message: `${where}: ${damage.message}` });
  }

  async #get(
    range: { readonly offset: number; readonly length: number },
    into: Buffer,
  ): Promise<Uint8Array | ChunkOutcome> {
    const { context, signal } = this.#scope;
    try {
      const { body } = await context.fetching(signal, (store, options) =>
        store.get(this.#key, { ...options, range: { offset: range.offset, length: range.length }, into }),
      );
      return body;
    } catch (error) {
      if (signal.aborted || !isBackendError(error)) throw error;
      return outcomeOf(error, `${context.url}: ${this.#key}`);
    }
  }

  #write(target: ChunkTarget, stored: Uint8Array): FormatError | undefined {
    const damage = writeChunk(this.#scope.files, target, stored);
    if (damage === undefined) this.#scope.outcomes.delete(target);
    return damage;
  }
}

/** Decodes, checks and writes one chunk. Returns what is wrong with it, having written nothing then. */
export function writeChunk(files: LocalFiles, target: ChunkTarget, stored: Uint8Array): FormatError | undefined {
  let plain: Uint8Array;
  try {
    plain = decodeChunk(stored, target);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  files.write(target.path, plain, target.fileOffset);
  return undefined;
}

function outcomeOf(error: BackendError, where: string): ChunkOutcome {
  switch (error.kind) {
    case "not-found":
      return { kind: "missing", message: `${where} is missing in the volume` };
    case "bad-response":
      return { kind: "corrupt", message: `${where} is shorter than the volume's metadata says: ${error.message}` };
    default:
      return { kind: "failed", message: `${where}: ${error.message}` };
  }
}
