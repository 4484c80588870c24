import { closeSync, createWriteStream, openSync, readSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ObjectStore } from "../../backend/index.js";
import { assert, type Epoch, type OpSeq, type SegmentSeq } from "../../base/index.js";
import {
  checkpointObjectKey,
  type EpochStart,
  encodeCheckpoint,
  type KeyValue,
  RunningHash,
  readCheckpoint,
} from "../../format/index.js";
import { type ReadSegment, readLog } from "../log/read-log.js";
import { fetchPieces } from "./fetch-pieces.js";
import { type FoundCheckpoint, listCheckpoints } from "./find-checkpoint.js";
import { LogRuns } from "./log-runs.js";
import { mergeStream } from "./merge-stream.js";
import { writeAll } from "./write-all.js";

/** Plain data: this runs in a worker thread. */
export interface CheckpointInput {
  /** The checkpoint is to hold everything up to and including this segment. */
  readonly segment: SegmentSeq;
  readonly beginsAt: readonly EpochStart[];
  /** Folder for temporary files: two of the checkpoint's size, one of what the log since the last one decodes to. */
  readonly folder: string;
}

export interface BuiltCheckpoint {
  readonly segment: SegmentSeq;
  readonly sizeBytes: number;
}

const READ_BYTES = 1 << 20;

/**
 * Makes the next checkpoint from the previous one and the segments after it, which are immutable, and puts it.
 *
 * Undefined when there is nothing to do: the newest checkpoint is as new already.
 * @throws MetaError corrupt. @throws FormatError @throws BackendError
 */
export async function buildCheckpoint(
  backend: ObjectStore,
  { segment, beginsAt, folder }: CheckpointInput,
): Promise<BuiltCheckpoint | undefined> {
  const base = (await listCheckpoints(backend)).at(-1);
  if (base !== undefined && base.segment >= segment) return undefined;
  const basePath = join(folder, "checkpoint-base.tmp");
  const path = join(folder, "checkpoint-next.tmp");
  const runsPath = join(folder, "checkpoint-log.tmp");
  const runs = new LogRuns(runsPath);
  try {
    if (base !== undefined) await download(backend, base, basePath);
    const from = ((base?.segment ?? 0) + 1) as SegmentSeq;
    const end = await collectLog(runs, readLog(backend, from, beginsAt), segment, backend.url);
    const before = base === undefined ? undefined : readCheckpoint(piecesOf(basePath));
    const header = {
      epoch: end.epoch,
      segmentSeq: segment,
      opSeq: Math.max(end.opSeq, before?.header.opSeq ?? 0) as OpSeq,
    };
    writeVerified(path, header, mergeStream(before?.records ?? [], runs.merged()));
    const { size: sizeBytes } = await stat(path);
    await backend.put(checkpointObjectKey(segment), { path, sizeBytes });
    return { segment, sizeBytes };
  } finally {
    runs.close();
    await Promise.all([basePath, path, runsPath].map((file) => rm(file, { force: true })));
  }
}

/** The log's end, up to which it is collected. */
interface LogEnd {
  readonly epoch: Epoch;
  readonly opSeq: OpSeq;
}

async function collectLog(
  runs: LogRuns,
  log: AsyncIterable<ReadSegment>,
  to: SegmentSeq,
  volume: string,
): Promise<LogEnd> {
  let last: ReadSegment | undefined;
  let opSeq = 0 as OpSeq;
  for await (const segment of log) {
    runs.add(segment.entries);
    opSeq = Math.max(opSeq, segment.shipped.at(-1)?.last ?? 0) as OpSeq;
    last = segment;
    if (segment.seq === to) break;
  }
  assert(last?.seq === to, `segment ${to} of ${volume} was shipped and cannot be read`);
  return { epoch: last.epoch, opSeq };
}

async function download(backend: ObjectStore, checkpoint: FoundCheckpoint, path: string): Promise<void> {
  await pipeline(Readable.from(fetchPieces(backend, checkpoint)), createWriteStream(path, { mode: 0o600 }));
}

/** Writes the checkpoint, reads it back, and compares what went in with what comes out. */
function writeVerified(
  path: string,
  header: Parameters<typeof encodeCheckpoint>[0],
  records: Iterable<KeyValue>,
): void {
  const written = new RecordsHash();
  const fd = openSync(path, "w", 0o600);
  try {
    for (const piece of encodeCheckpoint(header, written.over(records))) writeAll(fd, piece);
  } finally {
    closeSync(fd);
  }
  const read = new RecordsHash();
  for (const _record of read.over(readCheckpoint(piecesOf(path)).records));
  assert(read.digest() === written.digest(), `checkpoint ${header.segmentSeq} does not survive encoding`);
}

/** Hash of the records that pass by, with their lengths. */
class RecordsHash {
  readonly #hash = new RunningHash();
  readonly #lengths = Buffer.alloc(8);

  *over(records: Iterable<KeyValue>): Generator<KeyValue, void> {
    for (const record of records) {
      const [key, value] = record;
      this.#lengths.writeUInt32LE(key.length, 0);
      this.#lengths.writeUInt32LE(value.length, 4);
      this.#hash.update(this.#lengths).update(key).update(value);
      yield record;
    }
  }

  digest(): string {
    return this.#hash.hexDigest();
  }
}

function* piecesOf(path: string): Generator<Uint8Array, void> {
  const fd = openSync(path, "r");
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(READ_BYTES);
      const length = readSync(fd, piece, 0, piece.length, null);
      if (length === 0) return;
      yield piece.subarray(0, length);
    }
  } finally {
    closeSync(fd);
  }
}
