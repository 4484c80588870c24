import type { ContentId, Ino, OpSeq } from "../base/index.js";
import type { Time } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import type { ContentFile } from "../native/index.js";

/** A regular file's content while somebody has it open. One per inode; handles share it. */
export interface OpenContent {
  readonly ino: Ino;
  readonly contentId: ContentId;
  readonly file: ContentFile;
  /** How handles of this inode are open, all of them, while any is: the kernel forbids mixing. */
  readonly mode: "passthrough" | "served";
  readonly readers: number;
  readonly writers: number;
  /** Size and mtime of the open file now (fstat; a memory operation). */
  stat(): { readonly sizeBytes: number; readonly diskBytes: number; readonly mtime: Time };
}

export interface OpenIntent {
  readonly write: boolean;
  /** O_TRUNC: the old bytes are not wanted. */
  readonly truncate: boolean;
  /** False when the inode's mode has set-id bits and is opened for writing: those must go through the engine. */
  readonly passthroughAllowed: boolean;
}

/** What an upload reads, fixed when it begins. */
export interface UploadSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtime: Time;
  /** Chunks that may differ from `baseVersion`; the others are as there. */
  readonly chunks: "all" | readonly number[];
  readonly baseVersion: OpSeq;
  readonly generation: number;
}

export interface CacheUsage {
  readonly usedBytes: number;
  readonly limitBytes: number;
  readonly dirtyBytes: number;
}

/**
 * Content files of the cache directory: created, opened, filled, evicted.
 *
 * Invariants: a content file belongs to one inode; a dirty one is never evicted; `f` records change in the same
 * transaction as what they must agree with. Methods that may touch a disk or a socket return promises; those that
 * return plain values are memory operations.
 */
export interface ContentCache {
  /** Whether complete files are opened passthrough; told by the transport once the kernel has answered. */
  setPassthrough(available: boolean): void;
  /**
   * Takes a spare content file for the inode this operation creates, dirty and open for writing by one. Undefined when there is
   * no spare just now: await {@link spareReady} and run the operation again. If the operation rolls back, call
   * {@link abandon}.
   * @param mtime the inode's as well: while both are the same, nobody has written
   */
  create(tx: MetadataTransaction, ino: Ino, mtime: Time, passthroughAllowed: boolean): OpenContent | undefined;
  spareReady(): Promise<void>;
  abandon(content: OpenContent): void;
  /**
   * Opens an existing regular file's content and counts one reader or writer. Answers at once when it is open already
   * or its descriptor is still cached. Small absent files are fetched first; large ones are opened served.
   * With `write`, the file counts as dirty from here on; with `truncate`, it is empty when this resolves.
   * @throws CacheError no-space (ENOSPC), fetch-failed, corrupt, local-io, closed (EIO), gone (ESTALE); MetaError.
   */
  open(ino: Ino, intent: OpenIntent): OpenContent | Promise<OpenContent>;
  /** The content if anybody has it open. */
  opened(ino: Ino): OpenContent | undefined;
  /** One reader or writer less. With the last writer, size and mtime are recorded; the publisher hears of it. */
  close(content: OpenContent, intent: { readonly write: boolean }): void;
  /**
   * utimens on a file that is dirty or open: what {@link LocalFile.mtime} and the open file say from now on. An upload
   * under way does not make the file clean any more: it would record the old time.
   */
  setMtime(tx: MetadataTransaction, ino: Ino, mtime: Time): void;
  /** The inode is gone: its content file becomes garbage as soon as nobody has it open. Part of the operation. */
  remove(tx: MetadataTransaction, ino: Ino): void;
  /**
   * Fixes what an upload of the dirty file reads. Undefined when it is clean or gone. Ends with {@link finishUpload} or
   * {@link failUpload}: until then the content file stays on the disk, even if the inode is removed.
   * @throws CacheError fetch-failed, retryable: a block that must be hashed again is not here yet (it is being fetched).
   */
  beginUpload(ino: Ino): UploadSource | undefined;
  /**
   * Part of the transaction that records the uploaded content: the local image is now a copy of `version`, and clean
   * unless it was opened for writing since (another generation, or a writer is still there).
   */
  finishUpload(tx: MetadataTransaction, ino: Ino, source: UploadSource, version: OpSeq): void;
  failUpload(ino: Ino, source: UploadSource): void;
  /** A file became dirty, or its last writer closed it. */
  onDirty(listener: (ino: Ino, event: "opened" | "closed") => void): void;
  /** Makes bytes durable on the local disk (`--durability local`). */
  syncLocal(ino: Ino): Promise<void>;
  /** Resolves when `bytes` more may be written: waits for uploads and evictions when the cache is full. */
  reserve(bytes: number): Promise<void>;
  /**
   * Counts a file that is open for writing as this large, until its last writer closes it: what is going to be written has
   * its room. Evicts for it, but waits for no upload.
   * @throws CacheError no-space at once, closed.
   */
  hold(content: OpenContent, sizeBytes: number): Promise<void>;
  /**
   * Tells whether the cache is nearly full: while it is, files are opened for writing served, and served writes should
   * wait. Called with the first change.
   */
  onPressure(listener: (full: boolean) => void): void;
  /** Gives up the local copy of a file, if it is clean and nobody has it open. Resolves to whether it is gone. */
  evict(ino: Ino): Promise<boolean>;
  /** {@link evict} for all files. Resolves to the bytes that were freed. */
  evictAll(): Promise<number>;
  usage(): CacheUsage;
  /**
   * Ends the cache's work and records that it ended well. Nothing may be open any more, or it counts as it is found at
   * the next start. The transfer should be closed by then, so that nothing is waited for; the metadata must still be open.
   */
  stop(): Promise<void>;
}
