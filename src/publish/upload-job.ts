import { type ChunkHash, type Ino, Limiter, type OpSeq } from "../base/index.js";
import type { ContentCache, UploadSource } from "../cache/index.js";
import { CHUNK_SIZE_BYTES } from "../format/index.js";
import type { Metadata } from "../meta/index.js";
import type { ChunkSource, Priority, Transfer } from "../transfer/index.js";

/** Chunk bytes that one pack takes: many small files, or a stretch of a large one. */
export const SMALL_PACK_BYTES = 15 << 20;
export const LARGE_PACK_BYTES = 63 << 20;
/** Spans of one large file in flight: one is hashed while another is sent. */
const SPANS_MAX = 3;
/** Files recorded before the event loop gets a turn: a record costs some tens of microseconds. */
const RECORDS_PER_TURN = 64;

export interface UploadTools {
  readonly metadata: Metadata;
  readonly cache: ContentCache;
  readonly transfer: Transfer;
}

export interface UploadFile {
  readonly ino: Ino;
  readonly source: UploadSource;
}

export interface UploadOutcome {
  /** Files whose content is an operation now, or was in the volume already. */
  readonly recorded: ReadonlySet<Ino>;
  /** Files whose bytes changed in a way that makes what was read nobody's content. The others do not suffer from it. */
  readonly failed: ReadonlyMap<Ino, Error>;
}

/** One chunk of one file, and the hash it turned out to have. */
interface Slot {
  readonly file: UploadFile;
  readonly chunk: number;
  hash: ChunkHash | null;
}

type Failures = Map<Ino, Error>;

/**
 * Uploads what these files hold that the volume does not, then records it. Chunks the volume has are skipped; the others
 * go into packs of at most {@link SMALL_PACK_BYTES} or {@link LARGE_PACK_BYTES}. When this resolves, packs are in the backend
 * and the content operations are pending; nothing is visible to others before they are shipped.
 *
 * A crash before the record leaves an unreferenced pack, and the file dirty.
 *
 * @returns what became of each file; those in neither collection were removed meanwhile
 * @throws TransferError when none of them could be uploaded; the signal's reason
 */
export async function uploadFiles(
  tools: UploadTools,
  files: readonly UploadFile[],
  priority: Priority,
  signal: AbortSignal,
): Promise<UploadOutcome> {
  const failed: Failures = new Map();
  const slots = files.flatMap(slotsOf);
  const limiter = new Limiter(SPANS_MAX);
  const spans = spansOf(slots, files.length > 1 ? SMALL_PACK_BYTES : LARGE_PACK_BYTES);
  const outcomes = await Promise.allSettled(
    spans.map((span) => limiter.run(() => uploadSpan(tools, span, { failed, priority, signal }), signal)),
  );
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  const slotsByFile = groupByFile(slots);
  const recorded = new Set<Ino>();
  for (const [index, file] of files.entries()) {
    if (failed.has(file.ino)) continue;
    if (recordContent(tools, file, slotsByFile.get(file) ?? [])) recorded.add(file.ino);
    if (index % RECORDS_PER_TURN === RECORDS_PER_TURN - 1) await new Promise(setImmediate);
  }
  return { recorded, failed };
}

function groupByFile(slots: readonly Slot[]): Map<UploadFile, Slot[]> {
  const groups = new Map<UploadFile, Slot[]>();
  for (const slot of slots) {
    const group = groups.get(slot.file);
    if (group === undefined) groups.set(slot.file, [slot]);
    else group.push(slot);
  }
  return groups;
}

function slotsOf(file: UploadFile): Slot[] {
  const { chunks, sizeBytes } = file.source;
  const count = Math.ceil(sizeBytes / CHUNK_SIZE_BYTES);
  const indexes = chunks === "all" ? Array.from({ length: count }, (_, i) => i) : chunks.filter((i) => i < count);
  return indexes.map((chunk) => ({ file, chunk, hash: null }));
}

function lengthOf({ file, chunk }: Slot): number {
  return Math.min(CHUNK_SIZE_BYTES, file.source.sizeBytes - chunk * CHUNK_SIZE_BYTES);
}

/** Cuts the slots, in order, into runs of at most `bytesMax`. */
function spansOf(slots: readonly Slot[], bytesMax: number): Slot[][] {
  const spans: Slot[][] = [];
  let span: Slot[] = [];
  let bytes = 0;
  for (const slot of slots) {
    const length = lengthOf(slot);
    if (span.length > 0 && bytes + length > bytesMax) {
      spans.push(span);
      span = [];
      bytes = 0;
    }
    span.push(slot);
    bytes += length;
  }
  if (span.length > 0) spans.push(span);
  return spans;
}

/** Hashes a span, packs and uploads what the volume lacks, and records where it is. */
async function uploadSpan(
  tools: UploadTools,
  span: readonly Slot[],
  how: { readonly failed: Failures; readonly priority: Priority; readonly signal: AbortSignal },
): Promise<void> {
  const { metadata, transfer } = tools;
  const { failed, priority, signal } = how;
  await hashSpan(transfer, span, priority, failed);
  signal.throwIfAborted();
  // Equal chunks within the span are packed once; the worker reports the hash of what it really packed.
  const missing = new Map<ChunkHash, Slot[]>();
  for (const slot of span) {
    if (slot.hash === null || failed.has(slot.file.ino) || metadata.chunk(slot.hash) !== undefined) continue;
    const same = missing.get(slot.hash);
    if (same === undefined) missing.set(slot.hash, [slot]);
    else same.push(slot);
  }
  if (missing.size === 0) return;
  // A file written while it is uploaded may no longer hold the hash its equals have: only one of them may be packed
  // for all if none is being written. Cheapest and always right: pack each slot of a file that is open for writing.
  const packed = [...missing.values()].flatMap((same) => representatives(tools.cache, same));
  const sources = packed.map(({ slot }): ChunkSource => {
    return { path: slot.file.source.path, offset: slot.chunk * CHUNK_SIZE_BYTES, length: lengthOf(slot) };
  });
  const uploaded = await transfer.uploadPack(sources, priority, signal);
  metadata.update((tx) => {
    const pack = uploaded.pack === undefined ? undefined : tx.addPack(uploaded.pack);
    uploaded.chunks.forEach(({ hash, stored, rawLength }, i) => {
      const { slot, equals } = packed[i] as Packed;
      // Written since it was hashed: what was packed is not what its equals hold. And a shorter chunk is nobody's content.
      if (hash !== slot.hash) for (const other of equals) noteChange(failed, other.file);
      if (rawLength !== lengthOf(slot)) noteChange(failed, slot.file);
      slot.hash = stored === null ? null : hash;
      if (stored !== null && pack !== undefined) tx.putChunk(hash, { pack, ...stored, rawLength });
    });
  });
}

interface Packed {
  readonly slot: Slot;
  /** Slots with the same hash, which need not be packed. */
  readonly equals: readonly Slot[];
}

function representatives(cache: ContentCache, same: readonly Slot[]): Packed[] {
  const still = same.filter((slot) => (cache.opened(slot.file.ino)?.writers ?? 0) === 0);
  const moving = same.filter((slot) => !still.includes(slot)).map((slot) => ({ slot, equals: [] }));
  const [first, ...equals] = still;
  return first === undefined ? moving : [{ slot: first, equals }, ...moving];
}

async function hashSpan(
  transfer: Transfer,
  span: readonly Slot[],
  priority: Priority,
  failed: Failures,
): Promise<void> {
  const byFile = [...groupByFile(span)];
  const hashed = await transfer.hashFiles(
    byFile.map(([{ source }, slots]) => {
      return { path: source.path, sizeBytes: source.sizeBytes, chunks: slots.map((slot) => slot.chunk) };
    }),
    priority,
  );
  byFile.forEach(([file, slots], i) => {
    const { hashes, sizeBytes } = hashed[i] ?? { hashes: [], sizeBytes: 0 };
    if (sizeBytes < file.source.sizeBytes) noteChange(failed, file);
    slots.forEach((slot, j) => {
      slot.hash = hashes[j] ?? null;
    });
  });
}

/** What was read of the file may never have been its content. It is tried again. */
function noteChange(failed: Failures, { ino, source }: UploadFile): void {
  failed.set(ino, new Error(`${source.path} changed while it was being uploaded`));
}

/** Makes the uploaded content the inode's, as one operation; does nothing, and says so, when the inode is gone. */
function recordContent({ metadata, cache }: UploadTools, file: UploadFile, slots: readonly Slot[]): boolean {
  const { ino, source } = file;
  const chunks = contentChunks(metadata, file, slots);
  return metadata.update((tx) => {
    const before = tx.content(ino);
    if (before === undefined || tx.inode(ino) === undefined) return false;
    const { sizeBytes, mtime } = source;
    let version: OpSeq = before.version;
    const sameBytes = before.sizeBytes === sizeBytes && sameChunks(tx.chunkHashes(ino, 0, chunks.length), chunks);
    if (!sameBytes) {
      tx.putContent(ino, { sizeBytes, mtime }, chunks);
      version = tx.seq;
    } else if (before.mtime.sec !== mtime.sec || before.mtime.nsec !== mtime.nsec) {
      tx.putContent(ino, { sizeBytes, mtime }, undefined);
    }
    // It depends on nothing. What creates the inode writes the same content record and so goes first; and what else
    // happened to the inode may be held back, which must not hold back the content of a file that is published.
    cache.finishUpload(tx, ino, source, version);
    return true;
  });
}

/** All hashes of the new content: those of the version it is based on, but for the chunks that were read. */
function contentChunks(metadata: Metadata, { ino, source }: UploadFile, slots: readonly Slot[]): (ChunkHash | null)[] {
  const count = Math.ceil(source.sizeBytes / CHUNK_SIZE_BYTES);
  const chunks: (ChunkHash | null)[] =
    source.chunks === "all" ? new Array(count).fill(null) : [...metadata.chunkHashes(ino, 0, count)];
  while (chunks.length < count) chunks.push(null);
  for (const slot of slots) chunks[slot.chunk] = slot.hash;
  return chunks;
}

function sameChunks(a: readonly (ChunkHash | null)[], b: readonly (ChunkHash | null)[]): boolean {
  return a.length === b.length && a.every((hash, i) => hash === b[i]);
}
