import { type ChunkHash, type Ino, Limiter, type OpSeq, shareLoop } from "../base/index.js";
import type { ContentCache, UploadSource } from "../cache/index.js";
import { CHUNK_SIZE_BYTES, type PackRecord } from "../format/index.js";
import type { FileContent, Metadata } from "../meta/index.js";
import type { ChunkSource, PackedChunk, Priority, Transfer } from "../transfer/index.js";

/** Chunk bytes that one pack takes: many small files, or a stretch of a large one. */
export const SMALL_PACK_BYTES = 15 << 20;
export const LARGE_PACK_BYTES = 63 << 20;
/** Spans of one file in flight: some are hashed while others are sent. The places of the transfer bound them all. */
const SPANS_MAX = 8;
/** Recording one takes 4 to 9 microseconds. */
const CHUNKS_RECORDED_AT_ONCE = 256;

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
  /** Files that were removed meanwhile, and what they held; of those that were not read whole nobody can say. */
  readonly removed: ReadonlyMap<Ino, FileContent>;
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
type Chunks = FileContent["chunks"];

/**
 * Uploads what these files hold that the volume does not, then records it. Chunks the volume has are skipped; the others
 * go into packs of at most {@link SMALL_PACK_BYTES} or {@link LARGE_PACK_BYTES}. When this resolves, packs are in the backend
 * and the content operations are pending; nothing is visible to others before they are shipped.
 *
 * A crash before the record leaves an unreferenced pack, and the file dirty.
 *
 * @returns what became of each file; those in no collection were removed meanwhile, too
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
  const removed = new Map<Ino, FileContent>();
  for (const file of files) {
    if (failed.has(file.ino)) continue;
    await shareLoop();
    signal.throwIfAborted();
    const { ino, source } = file;
    const { sizeBytes, mtime } = source;
    const chunks = contentChunks(tools.metadata, file, slotsByFile.get(file) ?? []);
    if (recordContent(tools, file, chunks)) recorded.add(ino);
    else if (source.chunks === "all") removed.set(ino, { sizeBytes, mtime, chunks });
  }
  return { recorded, removed, failed };
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

/** Packs and uploads what the volume lacks of a span, and records where it is. */
async function uploadSpan(
  { metadata, transfer }: UploadTools,
  span: readonly Slot[],
  how: { readonly failed: Failures; readonly priority: Priority; readonly signal: AbortSignal },
): Promise<void> {
  const { failed, priority, signal } = how;
  const sources = span.map((slot): ChunkSource => {
    return { path: slot.file.source.path, offset: slot.chunk * CHUNK_SIZE_BYTES, length: lengthOf(slot) };
  });
  const isKnown = (hash: ChunkHash): boolean => metadata.chunk(hash) !== undefined;
  const { pack, chunks } = await transfer.uploadPack(sources, isKnown, priority, signal);
  span.forEach((slot, i) => {
    const { hash, rawLength } = chunks[i] ?? { hash: null, rawLength: 0 };
    // Of bytes that were read once: whoever writes the file meanwhile, this is the name of what was packed.
    slot.hash = hash;
    if (rawLength !== lengthOf(slot)) noteChange(failed, slot.file);
  });
  if (pack !== undefined) await recordPack(metadata, pack, chunks, signal);
}

/** In several operations: the chunks of a pack of small files are too many for one turn of the event loop. */
async function recordPack(
  metadata: Metadata,
  pack: PackRecord,
  chunks: readonly PackedChunk[],
  signal: AbortSignal,
): Promise<void> {
  const distinct = Array.from(new Map(chunks.map((chunk) => [chunk.hash, chunk])).values());
  const number = metadata.update((tx) => tx.addPack(pack));
  for (let start = 0; start < distinct.length; start += CHUNKS_RECORDED_AT_ONCE) {
    await shareLoop();
    signal.throwIfAborted();
    metadata.update((tx) => {
      for (const { hash, stored, rawLength } of distinct.slice(start, start + CHUNKS_RECORDED_AT_ONCE)) {
        if (hash !== null && stored !== null) tx.putChunk(hash, { pack: number, ...stored, rawLength });
      }
    });
  }
}

/** What was read of the file may never have been its content. It is tried again. */
function noteChange(failed: Failures, { ino, source }: UploadFile): void {
  failed.set(ino, new Error(`${source.path} changed while it was being uploaded`));
}

/** Makes the uploaded content the inode's, as one operation; does nothing, and says so, when the inode is gone. */
function recordContent({ metadata, cache }: UploadTools, { ino, source }: UploadFile, chunks: Chunks): boolean {
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
function contentChunks(metadata: Metadata, { ino, source }: UploadFile, slots: readonly Slot[]): Chunks {
  const count = Math.ceil(source.sizeBytes / CHUNK_SIZE_BYTES);
  const chunks: (ChunkHash | null)[] =
    source.chunks === "all" ? new Array(count).fill(null) : [...metadata.chunkHashes(ino, 0, count)];
  while (chunks.length < count) chunks.push(null);
  for (const slot of slots) chunks[slot.chunk] = slot.hash;
  return chunks;
}

function sameChunks(a: Chunks, b: Chunks): boolean {
  return a.length === b.length && a.every((hash, i) => hash === b[i]);
}
