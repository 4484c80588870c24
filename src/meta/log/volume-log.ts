import { isBackendError, type ObjectStore } from "../../backend/index.js";
import {
  type Clock,
  type Epoch,
  ignore,
  type OpSeq,
  type SegmentSeq,
  shareLoop,
  withTimeout,
} from "../../base/index.js";
import { segmentObjectKey } from "../../format/index.js";
import type { CheckpointWriter } from "../checkpoint/checkpoint-writer.js";
import type { LeaseKeeper } from "../lease/lease-keeper.js";
import { MetaError } from "../meta-error.js";
import type { MetadataLog } from "../metadata.js";
import type { VolumeMetadata } from "../volume-metadata.js";
import type { MetaTasks } from "../worker/meta-tasks.js";
import { encodeSegment } from "./encode-segment.js";

export interface VolumeLogOptions {
  readonly metadata: VolumeMetadata;
  /** Retrying for ever. */
  readonly store: ObjectStore;
  readonly lease: LeaseKeeper;
  readonly tasks: MetaTasks;
  readonly checkpoints: CheckpointWriter;
  readonly clock: Clock;
}

/** Encoded here up to this size (about 5 ms); by a worker beyond. */
const INLINE_BYTES_MAX = 32 << 10;
/** Operations deleted in one transaction: a millisecond or two. */
const SLICE_OPERATIONS = 256;
const RELEASE_TIMEOUT_MS = 5_000;

/** A segment whose bytes are fixed. Until it is acknowledged nobody can say that readers have not seen it. */
interface Attempt {
  readonly seq: SegmentSeq;
  readonly operations: readonly OpSeq[];
  readonly parts: readonly Uint8Array[];
}

/**
 * Ships operations as segments of the volume's log, one after the other.
 *
 * Invariant: while #attempt is set, its bytes may be in the volume; no other bytes are ever put under its name, and
 * no later segment is begun.
 */
export class VolumeLog implements MetadataLog {
  readonly #options: VolumeLogOptions;
  #attempt: Attempt | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: VolumeLogOptions) {
    this.#options = options;
  }

  get lease(): { readonly epoch: Epoch; readonly holder: string; readonly held: boolean } {
    const { epoch, holder, held } = this.#options.lease;
    return { epoch, holder: `${holder.mountpoint} on ${holder.host} (pid ${holder.pid})`, held };
  }

  ship(operations: readonly OpSeq[]): Promise<void> {
    const shipped = this.#tail.then(() => this.#ship(operations));
    this.#tail = shipped.catch(ignore);
    return shipped;
  }

  onLeaseLost(listener: (reason: string) => void): void {
    this.#options.lease.onLost(listener);
  }

  /** Gives up after some seconds: a lease that cannot be given back ends by itself. */
  async release(): Promise<void> {
    const { checkpoints, lease, clock } = this.#options;
    const releasing = async () => {
      await this.#tail;
      await checkpoints.close();
      await lease.release();
    };
    lease.stopRenewing();
    await withTimeout(releasing, { clock, timeoutMs: RELEASE_TIMEOUT_MS, what: "giving the lease back" });
  }

  async #ship(operations: readonly OpSeq[]): Promise<void> {
    const { lease, checkpoints } = this.#options;
    await lease.ensure();
    // An earlier call failed half-way. What it had fixed comes first, or a reader might see another history.
    if (this.#attempt !== undefined) await this.#complete(this.#attempt);
    this.#attempt = await this.#prepare(operations);
    if (this.#attempt === undefined) return;
    await this.#complete(this.#attempt);
    checkpoints.consider();
  }

  /** Undefined when none of them is pending any more. */
  async #prepare(seqs: readonly OpSeq[]): Promise<Attempt | undefined> {
    const { metadata, lease, tasks } = this.#options;
    const operations: OpSeq[] = [];
    const ends: number[] = [];
    const records: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const seq of seqs) {
      await shareLoop();
      const record = metadata.encodedOperation(seq);
      if (record === undefined) continue;
      operations.push(seq);
      records.push(record);
      sizeBytes += record.byteLength;
      ends.push(sizeBytes);
    }
    if (operations.length === 0) return undefined;
    const seq = (metadata.position().segment + 1) as SegmentSeq;
    const input = { epoch: lease.epoch, seq, operations, ends, bytes: Buffer.concat(records) };
    const parts = sizeBytes <= INLINE_BYTES_MAX ? encodeSegment(input) : await tasks.encodeSegment(input);
    return { seq, operations, parts };
  }

  async #complete(attempt: Attempt): Promise<void> {
    const { lease, metadata } = this.#options;
    const { seq, operations, parts } = attempt;
    const [first, ...others] = parts;
    if (first === undefined) throw new MetaError("corrupt", `log segment ${seq} has no parts`);
    await Promise.all(others.map((part, index) => this.#put(seq, index + 1, part)));
    // With part 0 the segment is there.
    await this.#put(seq, 0, first);
    await lease.verify();
    const storedBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    for (let start = SLICE_OPERATIONS; start < operations.length; start += SLICE_OPERATIONS) {
      metadata.advance({}, operations.slice(start - SLICE_OPERATIONS, start));
      await shareLoop();
    }
    const { logBytes } = metadata.position();
    const rest = Math.floor((operations.length - 1) / SLICE_OPERATIONS) * SLICE_OPERATIONS;
    metadata.advance({ segment: seq, epoch: lease.epoch, logBytes: logBytes + storedBytes }, operations.slice(rest));
    this.#attempt = undefined;
  }

  async #put(seq: SegmentSeq, part: number, bytes: Uint8Array): Promise<void> {
    const { lease, store } = this.#options;
    const key = segmentObjectKey(lease.epoch, seq, part);
    try {
      await store.put(key, bytes, { ifAbsent: true });
    } catch (error) {
      if (!isBackendError(error, "precondition-failed")) throw error;
      // Only this writer has this epoch: it is our own put, whose answer was lost.
      const { body } = await store.get(key);
      if (Buffer.compare(body, bytes) === 0) return;
      throw new MetaError("corrupt", `${store.url}: ${key} is there already, with other bytes`, { cause: error });
    }
  }
}
