import type { ChunkHash, Ino, PackId } from "../base/index.js";
import type { ChunkRecord, PackNumber } from "../format/index.js";
import type { Metadata } from "../meta/index.js";
import type { ChunkTarget } from "../transfer/index.js";
import { CacheError } from "./errors.js";

/** Where one chunk of a file is in the volume. */
export interface PlacedChunk {
  /** Chunk index in its file. */
  readonly index: number;
  readonly hash: ChunkHash;
  readonly record: ChunkRecord;
}

/** @throws CacheError corrupt: the volume's metadata has no place for a chunk that it names. */
export function placeChunk(metadata: Metadata, ino: Ino, index: number, hash: ChunkHash): PlacedChunk {
  const record = metadata.chunk(hash);
  if (record === undefined) {
    throw new CacheError("corrupt", `the volume does not say where chunk ${hash} (${index} of inode ${ino}) is`);
  }
  return { index, hash, record };
}

/** @throws CacheError corrupt. */
export function packIdOf(metadata: Metadata, number: PackNumber): PackId {
  const pack = metadata.pack(number);
  if (pack === undefined) throw new CacheError("corrupt", `the volume does not say what pack ${number} is`);
  return pack.id;
}

export function groupByPack<T extends { readonly record: ChunkRecord }>(chunks: readonly T[]): Map<PackNumber, T[]> {
  const groups = new Map<PackNumber, T[]>();
  for (const chunk of chunks) {
    const group = groups.get(chunk.record.pack);
    if (group === undefined) groups.set(chunk.record.pack, [chunk]);
    else group.push(chunk);
  }
  return groups;
}

export function targetOf({ index, hash, record }: PlacedChunk, path: string, chunkSizeBytes: number): ChunkTarget {
  const { offset, storedLength, rawLength, codec } = record;
  return { hash, offset, storedLength, rawLength, codec, path, fileOffset: index * chunkSizeBytes };
}
