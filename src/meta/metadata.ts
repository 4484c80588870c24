import type { ChunkHash, ContentId, Ino, Name, OpSeq } from "../base/index.js";
import type {
  ChunkRecord,
  ContentRecord,
  DentryRecord,
  DirectoryTimes,
  InodeRecord,
  PackNumber,
  PackRecord,
  Time,
} from "../format/index.js";
import type { FileContent } from "./content-records.js";
import type { LatePlace } from "./late-content.js";

/** The local image of a regular file, in this cache directory. */
export interface LocalFile {
  readonly contentId: ContentId;
  /** Holds bytes the volume does not have. */
  readonly dirty: boolean;
  /** Every byte up to the size is there. Otherwise a block map says which. */
  readonly complete: boolean;
  /** Content version this is a copy of, or was when it became dirty. */
  readonly version: OpSeq;
  /** Size and mtime while dirty and not open; else the open file or the content record knows. */
  readonly sizeBytes: number;
  readonly mtime: Time;
  /** Grows with every opening for writing, so that an upload can tell whether it is still current. */
  readonly generation: number;
  /** When the first unpublished byte was written, ms since 1970; 0 when clean. */
  readonly dirtySinceMs: number;
  /** Clean images of an epoch before the current one may be garbage (power loss) and count as absent. */
  readonly trustEpoch: number;
  /** Bytes it takes on the local disk, for the cache limit. */
  readonly diskBytes: number;
  readonly lastUsedMs: number;
}

/** Reads of one consistent state. Records are values: changing one means putting a new one. */
export interface MetadataView {
  inode(ino: Ino): InodeRecord | undefined;
  directoryTimes(ino: Ino): DirectoryTimes | undefined;
  dentry(parent: Ino, name: Name): DentryRecord | undefined;
  /** Entries with a name greater than `after` (from the first when undefined), in name order, at most `limit`. */
  dentries(parent: Ino, after: Name | undefined, limit: number): readonly (readonly [Name, DentryRecord])[];
  isEmptyDirectory(ino: Ino): boolean;
  xattr(ino: Ino, name: Name): Uint8Array | undefined;
  xattrNames(ino: Ino): readonly Name[];
  content(ino: Ino): ContentRecord | undefined;
  /** Contents of inodes with a number greater than `after`, in their order, which is that of their creation; at most `limit`. */
  contents(after: Ino, limit: number): readonly (readonly [Ino, ContentRecord])[];
  /** Hashes of chunks [first, first + count), null where there is a hole or no content. */
  chunkHashes(ino: Ino, first: number, count: number): readonly (ChunkHash | null)[];
  chunk(hash: ChunkHash): ChunkRecord | undefined;
  pack(number: PackNumber): PackRecord | undefined;
  local(ino: Ino): LocalFile | undefined;
}

/** What an operation must not be published before. See docs/decisions/0001. */
export interface OperationDependencies {
  /** Directories whose entries it changes. */
  readonly directories?: readonly Ino[];
  /** Directories it removes or replaces: everything earlier in them goes first. */
  readonly removedDirectories?: readonly Ino[];
  /** The regular file it makes visible under a (new) name: that file's content goes first. */
  readonly content?: Ino;
  /** Inodes that must exist in the volume for it to make sense. */
  readonly inodes?: readonly Ino[];
}

/**
 * One atomic operation. Shared records written through it are remembered as an unshipped operation; local ones
 * are not. An operation that wrote nothing shared leaves no trace in the history.
 */
export interface MetadataTransaction extends MetadataView {
  /** This operation's place in the history; the number of an inode it creates. */
  readonly seq: OpSeq;
  putInode(ino: Ino, record: InodeRecord): void;
  deleteInode(ino: Ino): void;
  /** Times and link count of a directory whose entries change: mtime and ctime := `time`, nlink += `nlinkDelta`. */
  touch(directory: Ino, time: Time, nlinkDelta: number): void;
  putDirectoryTimes(ino: Ino, record: DirectoryTimes): void;
  deleteDirectoryTimes(ino: Ino): void;
  putDentry(parent: Ino, name: Name, record: DentryRecord): void;
  deleteDentry(parent: Ino, name: Name): void;
  putXattr(ino: Ino, name: Name, value: Uint8Array): void;
  deleteXattr(ino: Ino, name: Name): void;
  /**
   * Replaces size, mtime and all chunk hashes (`chunks.length` = ceil(size / chunk size)); `version` becomes this
   * operation's seq. With `chunks` undefined only size and mtime change, and the version stays (utimens).
   */
  putContent(
    ino: Ino,
    content: { readonly sizeBytes: number; readonly mtime: Time },
    chunks: readonly (ChunkHash | null)[] | undefined,
  ): void;
  /** @param unpublishedBytes of a content that the volume does not have and may yet get, while it still has the file; else 0 */
  deleteContent(ino: Ino, unpublishedBytes: number): void;
  putChunk(hash: ChunkHash, record: ChunkRecord): void;
  /** Registers a pack and returns its number. */
  addPack(record: PackRecord): PackNumber;
  putLocal(ino: Ino, record: LocalFile): void;
  deleteLocal(ino: Ino): void;
  /** The content file with this id is to be deleted, now or after a crash. */
  addGarbage(id: ContentId): void;
  removeGarbage(id: ContentId): void;
  dependsOn(dependencies: OperationDependencies): void;
}

/** An operation that the volume does not have yet, as the publisher sees it. */
export interface PendingOperation {
  readonly seq: OpSeq;
  /** Keys it writes, except touches and chunk and pack records (those conflict with nothing), one char per byte. */
  readonly keys: readonly string[];
  readonly dependencies: OperationDependencies;
  /** Encoded size, for segment sizing. */
  readonly sizeBytes: number;
}

/** Hears of attributes that are not what they were, after each commit and before anything else happens. */
export interface AttributeListener {
  /** All of an inode's may be others. */
  changed(ino: Ino): void;
  /** Names came or went in a directory: these are others, and no more. */
  touched(directory: Ino, times: Pick<DirectoryTimes, "mtime" | "ctime" | "nlink">): void;
}

/** The metadata of one mounted volume: typed records over a {@link MetaStore}. */
export interface Metadata extends MetadataView {
  /** Runs `change` as one transaction. Whatever it throws rolls everything back. */
  update<T>(change: (tx: MetadataTransaction) => T): T;
  /** Called after each update that left an operation to ship, in seq order. */
  onOperation(listener: (operation: PendingOperation) => void): void;
  /** Of what this mount changes; not of what a follower applies. */
  onAttributes(listener: AttributeListener): void;
  /**
   * A file was uploaded after it had been removed here: a pending operation before the removal gets its content.
   * @returns whether that could be done
   */
  addLateContent(ino: Ino, content: FileContent, place: LatePlace): boolean;
  /** Operations not shipped, in seq order: what the listener would have heard. For the start. */
  pendingOperations(): Iterable<PendingOperation>;
  /** Files with dirty local images, for the start. */
  dirtyFiles(): Iterable<readonly [Ino, LocalFile]>;
  /** All local images, in ino order from `after` on: for eviction and accounting, in slices. */
  localFiles(after: Ino | undefined, limit: number): readonly (readonly [Ino, LocalFile])[];
  /** Content files that wait for deletion. */
  garbage(limit: number): readonly ContentId[];
  /** Totals for statfs: inodes, bytes of content. */
  totals(): { readonly inodes: number; readonly contentBytes: number };
  /** Small facts about this cache directory, local. */
  fact(name: string): string | undefined;
  setFact(name: string, value: string): void;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The volume's side: the log, checkpoints and lease of one mounted volume. */
export interface MetadataLog {
  /**
   * Ships these operations (in seq order, closed over conflicts) as one atomic segment; resolves when the volume
   * has it and the lease was still ours afterwards. They are no longer pending then.
   * @throws MetaError lease-lost: nothing more may be written; the operations stay pending locally.
   */
  ship(operations: readonly OpSeq[]): Promise<void>;
  readonly lease: { readonly epoch: number; readonly holder: string; readonly held: boolean };
  /** Rejects nothing; called once when the lease is lost. */
  onLeaseLost(listener: (reason: string) => void): void;
  /** Ends renewal and gives the lease back when it is ours, so that the next writer need not wait. */
  release(): Promise<void>;
}
