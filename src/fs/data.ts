import { allocateReadBuffer, type HandleId } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import { type FsContext, requireWritable } from "./context.js";
import { FsError } from "./errors.js";
import { SEEK_DATA, SEEK_HOLE } from "./modes.js";

/** linux/falloc.h */
const FALLOC_FL_PUNCH_HOLE = 0x02;
const FALLOC_FL_COLLAPSE_RANGE = 0x08;

const COPY_BUFFER_BYTES = 1 << 20;
/** A partial file is copied in short steps, so that a signal need not wait for a large one to be fetched. */
const COPY_BYTES_MAX = 8 << 20;

/** @throws FsError bad-handle, invalid, file-too-large, read-only; CacheError no-space; whatever the disk says */
export async function fallocate(
  context: FsContext,
  id: HandleId,
  mode: number,
  offset: number,
  length: number,
): Promise<void> {
  requireWritable(context);
  const { content } = context.handles.writableFile(id);
  if (!(offset >= 0) || !(length > 0)) throw new FsError("invalid", `a range of ${length} bytes at ${offset}`);
  const end = offset + length;
  if (end > context.limits.fileSizeBytesMax) throw new FsError("file-too-large", `a range that ends at ${end}`);
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE)) === 0) {
    // Space for what lies beyond the bytes it has; those within may be holes, which is the disk's to count.
    const growth = end - content.stat().diskBytes;
    if (growth > 0) await context.cache.reserve(growth);
  }
  await content.file.fallocate(mode, offset, length);
}

/** @throws FsError bad-handle, invalid (another whence), no-data-beyond */
export async function seek(context: FsContext, id: HandleId, offset: number, whence: number): Promise<number> {
  const { content } = context.handles.file(id);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FsError("invalid", `whence ${whence}`);
  const { sizeBytes } = content.stat();
  if (offset < 0 || offset >= sizeBytes) {
    throw new FsError("no-data-beyond", `offset ${offset} in a file of ${sizeBytes} bytes`);
  }
  return content.file.seek(offset, whence);
}

/**
 * copy_file_range(2). Returns how many bytes were copied, which may be fewer than asked for.
 * @throws FsError bad-handle, invalid, read-only; CacheError
 */
export async function copyRange(
  context: FsContext,
  source: { readonly handle: HandleId; readonly offset: number },
  target: { readonly handle: HandleId; readonly offset: number },
  length: number,
): Promise<number> {
  requireWritable(context);
  const from = context.handles.file(source.handle).content;
  const to = context.handles.writableFile(target.handle).content;
  if (!(source.offset >= 0) || !(target.offset >= 0) || !(length >= 0)) {
    throw new FsError("invalid", `${length} bytes from ${source.offset} to ${target.offset}`);
  }
  const available = Math.min(length, from.stat().sizeBytes - source.offset);
  if (available <= 0) return 0;
  if (from.file.complete && to.file.complete) {
    return to.file.copyRange(from.file, source.offset, target.offset, available);
  }
  return copyPartial(from, source.offset, to, target.offset, Math.min(available, COPY_BYTES_MAX));
}

/** Reads and writes wait for absent blocks to be fetched, which the disk's own copy cannot. */
async function copyPartial(
  from: OpenContent,
  fromOffset: number,
  to: OpenContent,
  toOffset: number,
  length: number,
): Promise<number> {
  const buffer = allocateReadBuffer(Math.min(length, COPY_BUFFER_BYTES));
  let copied = 0;
  while (copied < length) {
    const wanted = buffer.subarray(0, Math.min(buffer.length, length - copied));
    const count = await from.file.read(wanted, fromOffset + copied);
    if (count === 0) break;
    await to.file.write(wanted.subarray(0, count), toOffset + copied);
    copied += count;
  }
  return copied;
}
