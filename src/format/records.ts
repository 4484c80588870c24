import type { ChunkHash, Ino, OpSeq, PackId } from "../base/index.js";
import type { Time } from "./time.js";

/** Bytes of a file that one chunk covers; chunk n covers [n × size, (n + 1) × size). */
export const CHUNK_SIZE_BYTES = 1 << 20;

/** How a chunk's bytes are stored in its pack. Numbers are on disk: never renumbered. */
export const Codec = { plain: 0, zstd: 1 } as const;
export type Codec = (typeof Codec)[keyof typeof Codec];

/** Number of a pack within the volume; `P` maps it to its id. */
export type PackNumber = number;

export interface InodeRecord {
  /** st_mode: file type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Directories keep theirs in {@link DirectoryTimes}. */
  readonly nlink: number;
  readonly rdev: number;
  readonly atime: Time;
  /**
   * Of a regular file: the last that was set (creation, utimens); while {@link ContentRecord.mtime} is another one, the file
   * was written since, and that is the file's. Directories keep theirs in {@link DirectoryTimes}.
   */
  readonly mtime: Time;
  readonly ctime: Time;
  readonly btime: Time;
  /** Symlink target, one char per byte. Empty otherwise. */
  readonly target: string;
}

export interface DirectoryTimes {
  readonly mtime: Time;
  readonly ctime: Time;
  /** 2 + subdirectories. */
  readonly nlink: number;
  /** Operation that set the times; a touch with a lower seq leaves them alone. */
  readonly seq: OpSeq;
}

export interface DentryRecord {
  readonly ino: Ino;
  /** S_IFMT bits of the mode (0o170000 mask), for readdir. */
  readonly type: number;
}

export interface ContentRecord {
  readonly sizeBytes: number;
  readonly mtime: Time;
  /** Operation that set this content. */
  readonly version: OpSeq;
  /**
   * Hashes of chunk 0, 1, …; null is a hole. Present when there are at most {@link INLINE_CHUNKS_MAX}; otherwise
   * undefined, and `E` records hold {@link EXTENT_GROUP_CHUNKS} each.
   */
  readonly chunks: readonly (ChunkHash | null)[] | undefined;
}
export const INLINE_CHUNKS_MAX = 16;
export const EXTENT_GROUP_CHUNKS = 1024;

export interface ChunkRecord {
  readonly pack: PackNumber;
  readonly offset: number;
  readonly storedLength: number;
  readonly rawLength: number;
  readonly codec: Codec;
}

export interface PackRecord {
  readonly id: PackId;
  readonly sizeBytes: number;
}

/** One change of the shared key space. Keys and values are whole encoded records. */
export type LogEntry =
  | { readonly op: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly op: "delete"; readonly key: Uint8Array }
  | {
      readonly op: "touch";
      readonly ino: Ino;
      /** Equal to ctime but for utimens on a directory, which has to commute with touches too. */
      readonly mtime: Time;
      readonly ctime: Time;
      readonly nlinkDelta: number;
      readonly seq: OpSeq;
    };
