import type { StoreCounters } from "../backend/index.js";
import type { ChunkHash, PackId } from "../base/index.js";
import type { Codec } from "../format/index.js";

/** Who waits: a blocked reader or an fsync before read-ahead, and both before background work. */
export type Priority = "urgent" | "normal" | "background";

/** A chunk to pack: bytes [offset, offset + length) of a local file. */
export interface ChunkSource {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

export interface PackedChunk {
  /** Of the bytes that were read, once; null when all of them are zero (a hole), or there were none. */
  readonly hash: ChunkHash | null;
  /** Null when nothing was packed: for a hole, or because the chunk is known. */
  readonly stored: { readonly offset: number; readonly storedLength: number; readonly codec: Codec } | null;
  /** Shorter than asked when the file has shrunk. */
  readonly rawLength: number;
}

export interface UploadedPack {
  /** Undefined when there was nothing to upload (only holes, and what is known). */
  readonly pack: { readonly id: PackId; readonly sizeBytes: number } | undefined;
  /** One per source, in order. Equal chunks share one stored place. */
  readonly chunks: readonly PackedChunk[];
}

/** A chunk to fetch into a local file. */
export interface ChunkTarget {
  readonly hash: ChunkHash;
  readonly offset: number;
  readonly storedLength: number;
  readonly rawLength: number;
  readonly codec: Codec;
  readonly path: string;
  readonly fileOffset: number;
}

/** What became of one target: undefined when it is on disk, else why not. */
export type ChunkOutcome = { readonly kind: "corrupt" | "missing" | "failed"; readonly message: string } | undefined;

/** Bytes moving between local files and the backend, all of it in worker threads. */
export interface Transfer {
  /**
   * Reads and hashes the chunks, packs those that are not known, uploads the pack, and resolves when the backend has
   * it. Retries for ever while the backend is unavailable, unless aborted. One call holds all its bytes in memory: callers
   * keep it below the pack size they want.
   *
   * @param isKnown Whether the volume has a chunk: asked once for each distinct hash, on the calling thread.
   */
  uploadPack(
    sources: readonly ChunkSource[],
    isKnown: (hash: ChunkHash) => boolean,
    priority: Priority,
    signal?: AbortSignal,
  ): Promise<UploadedPack>;
  /**
   * Fetches chunks of one pack: neighbours in one ranged GET, verified, decoded and written to their files. One outcome
   * per target. Retries transient errors up to `deadlineMs`.
   */
  fetchChunks(
    pack: PackId,
    targets: readonly ChunkTarget[],
    priority: Priority,
    signal?: AbortSignal,
  ): Promise<readonly ChunkOutcome[]>;
  /** Fetches bytes [offset, offset + length) of a pack into the same place of its (sparse) mirror file. */
  fetchWindow(pack: PackId, offset: number, length: number, mirrorPath: string, priority: Priority): Promise<void>;
  /** Like {@link fetchChunks}, from a mirror file whose bytes are there: no request. */
  extractChunks(
    mirrorPath: string,
    targets: readonly ChunkTarget[],
    priority: Priority,
  ): Promise<readonly ChunkOutcome[]>;
  readonly counters: TransferCounters;
  close(): Promise<void>;
}

/** Backend traffic of all workers together, since the start. */
export interface TransferCounters extends StoreCounters {
  /** What the backend last failed with, for people; undefined while nothing has failed. */
  lastError: string | undefined;
}
