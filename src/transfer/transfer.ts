import type { StoreCounters } from "../backend/index.js";
import type { ChunkHash, PackId } from "../base/index.js";
import type { Codec } from "../format/index.js";

/** Who waits: a blocked reader or an fsync before read-ahead, and both before background work. */
export type Priority = "urgent" | "normal" | "background";

/** Chunks of one local file to hash: chunk n is bytes [n MiB, n + 1 MiB) of it, shorter at its end. */
export interface HashRequest {
  readonly path: string;
  /** Size to hash up to; a file that is shorter by now is hashed to its end. */
  readonly sizeBytes: number;
  /** Chunk indexes, or all up to the size. */
  readonly chunks: "all" | readonly number[];
}

export interface HashedFile {
  /** Size that was hashed up to. */
  readonly sizeBytes: number;
  /** One per requested chunk; null when all its bytes are zero (a hole). */
  readonly hashes: readonly (ChunkHash | null)[];
}

/** A chunk to pack: bytes [offset, offset + length) of a local file. */
export interface ChunkSource {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

export interface PackedChunk {
  /** Of the bytes that were packed: differs from an earlier hash when the file was written meanwhile. */
  readonly hash: ChunkHash;
  /** Null for a hole: nothing was packed. */
  readonly stored: { readonly offset: number; readonly storedLength: number; readonly codec: Codec } | null;
  /** Shorter than asked when the file has shrunk. */
  readonly rawLength: number;
}

export interface UploadedPack {
  /** Undefined when there was nothing to upload (only holes). */
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
  hashFiles(files: readonly HashRequest[], priority: Priority): Promise<readonly HashedFile[]>;
  /**
   * Packs the chunks (encode, decode, compare), uploads the pack, and resolves when the backend has it. Retries for
   * ever while the backend is unavailable, unless aborted. Callers keep one call below the pack size they want.
   */
  uploadPack(sources: readonly ChunkSource[], priority: Priority, signal?: AbortSignal): Promise<UploadedPack>;
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
