import type { ChunkHash, OpSeq } from "../base/index.js";
import { EXTENT_GROUP_CHUNKS, encodeContent, encodeExtent, INLINE_CHUNKS_MAX, type Time } from "../format/index.js";

/** Size, mtime and all chunk hashes of a file: `chunks.length` = ceil(size / chunk size). */
export interface FileContent {
  readonly sizeBytes: number;
  readonly mtime: Time;
  readonly chunks: readonly (ChunkHash | null)[];
}

/** The content record: of a small file with its chunk hashes, of a large one without. */
export function contentRecord({ sizeBytes, mtime, chunks }: FileContent, version: OpSeq): Buffer {
  return encodeContent({ sizeBytes, mtime, version, chunks: isInline(chunks.length) ? chunks : undefined });
}

/** The extent records beside it, group 0 first; none where the hashes are inline. */
export function extentRecords({ chunks }: Pick<FileContent, "chunks">): Buffer[] {
  return Array.from({ length: extentGroupCount(chunks.length) }, (_, group) =>
    encodeExtent(chunks.slice(group * EXTENT_GROUP_CHUNKS, (group + 1) * EXTENT_GROUP_CHUNKS)),
  );
}

/** How many extent records a file of so many chunks has. */
export function extentGroupCount(chunks: number): number {
  return isInline(chunks) ? 0 : Math.ceil(chunks / EXTENT_GROUP_CHUNKS);
}

function isInline(chunks: number): boolean {
  return chunks <= INLINE_CHUNKS_MAX;
}
