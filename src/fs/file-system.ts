import type { HandleId, Ino, Name } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import type { Time } from "../format/index.js";
import type { AttributeListener } from "../meta/index.js";

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

export interface Attributes {
  readonly ino: Ino;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly sizeBytes: number;
  /** Bytes on disk while it is dirty, its size once it is published; st_blocks × 512. */
  readonly diskBytes: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  readonly btime: Time;
  /** False while the kernel must not keep them: the file is open for writing, and mmap may change it. */
  readonly cacheable: boolean;
}

export interface OpenedFile {
  readonly handle: HandleId;
  readonly content: OpenContent;
  /** The kernel's cached pages of this file are still right (FOPEN_KEEP_CACHE). */
  readonly keepCache: boolean;
}

/** What setattr changes; absent means leave alone. Whatever it is, even nothing (chown(-1, -1)), it marks ctime. */
export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
  readonly atime?: Time | "now";
  readonly mtime?: Time | "now";
  /** Clear set-user-ID and set-group-ID bits (write, truncate or chown by a user without CAP_FSETID). */
  readonly killPrivileges?: boolean;
  /** Through this open handle (ftruncate). */
  readonly handle?: HandleId;
}

export interface DirectoryEntry {
  readonly name: Name;
  readonly ino: Ino;
  /** S_IFMT bits. */
  readonly type: number;
  /** Positive, and means the same place while the handle is open. Pass to the next {@link FileSystem.readDirectory} to go on after this entry. */
  readonly cookie: number;
}

export interface FileSystemTotals {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Inodes there could be: those in use and the free ones (f_files). */
  readonly files: number;
  readonly freeFiles: number;
  readonly nameBytesMax: number;
}

/** Sync when nothing has to be waited for: then a request is answered without leaving the event-loop turn. */
export type MaybePromise<T> = T | Promise<T>;

export type LinkMode = "no-replace" | "replace";
export type RenameMode = "replace" | "no-replace" | "exchange";
export type FallocateMode = number;

/**
 * POSIX semantics by inode number, transport-independent: docs/SEMANTICS. Permission checks are all the kernel's: with
 * `default_permissions` it also checks owners (setattr_prepare) and sticky directories (may_delete).
 *
 * **Lookup counts.** Every {@link Attributes} returned by lookup, makeNode, makeDirectory, makeSymlink, link, create and
 * tmpfile counts as one lookup of its inode; {@link forget} takes them back. An inode without names lives until
 * it has neither lookups nor handles.
 *
 * Every method throws (or rejects with) FsError, CacheError, MetaError or BackendError; one table in `fuse/errno` maps them.
 * A promise of a data operation may also reject with the error of the local disk as the addon reports it.
 */
export interface FileSystem {
  lookup(parent: Ino, name: Name): Attributes;
  /** @throws InvariantError when the inode has fewer. */
  forget(ino: Ino, lookups: number): void;
  /** Counts one more lookup of an inode whose attributes were sent by readdirplus. */
  remember(ino: Ino): void;
  getAttributes(ino: Ino): Attributes;
  /**
   * Tells from now on whose attributes are not what {@link getAttributes} said when they were {@link Attributes.cacheable}.
   * Of inodes without a name it tells nothing. Where this is absent, what was said must not be repeated.
   */
  watchAttributes?(listener: AttributeListener): void;
  setAttributes(caller: Caller, ino: Ino, changes: AttributeChanges): MaybePromise<Attributes>;
  readLink(ino: Ino): Name;

  makeNode(caller: Caller, parent: Ino, name: Name, mode: number, rdev: number): Attributes;
  makeDirectory(caller: Caller, parent: Ino, name: Name, mode: number): Attributes;
  makeSymlink(caller: Caller, parent: Ino, name: Name, target: string): Attributes;
  /** @param mode "replace", of an O_TMPFILE only: whatever file has the name loses it, in the same operation. */
  link(caller: Caller, ino: Ino, parent: Ino, name: Name, mode?: LinkMode): Attributes;
  unlink(caller: Caller, parent: Ino, name: Name): void;
  removeDirectory(caller: Caller, parent: Ino, name: Name): void;
  rename(caller: Caller, parent: Ino, name: Name, newParent: Ino, newName: Name, mode: RenameMode): void;

  create(
    caller: Caller,
    parent: Ino,
    name: Name,
    mode: number,
    flags: number,
  ): MaybePromise<{ readonly attributes: Attributes; readonly opened: OpenedFile }>;
  /** O_TMPFILE: a file without a name, that {@link link} may name. */
  createTemporary(
    caller: Caller,
    parent: Ino,
    mode: number,
    flags: number,
  ): MaybePromise<{ readonly attributes: Attributes; readonly opened: OpenedFile }>;
  /**
   * A transport that is told to clear set-id bits with O_TRUNC (FUSE_OPEN_KILL_SUIDGID) calls {@link setAttributes} with
   * `killPrivileges` first: here nobody asks.
   */
  open(ino: Ino, flags: number): MaybePromise<OpenedFile>;
  /** close(2) of one descriptor: with `--durability close`, waits until the file is published. */
  flush(handle: HandleId): MaybePromise<void>;
  release(handle: HandleId): void;
  sync(handle: HandleId, dataOnly: boolean): Promise<void>;
  fallocate(handle: HandleId, mode: FallocateMode, offset: number, length: number): Promise<void>;
  /** SEEK_DATA and SEEK_HOLE. */
  seek(handle: HandleId, offset: number, whence: number): Promise<number>;
  copyRange(from: HandleId, fromOffset: number, to: HandleId, toOffset: number, length: number): Promise<number>;
  /** The content behind a handle, for transports that move bytes themselves. */
  contentOf(handle: HandleId): OpenContent;

  openDirectory(ino: Ino): HandleId;
  /**
   * Entries after `cookie` (0: from "." on, as the directory is now), in byte order of their names; fewer than `limit`
   * only at the end. "." and ".." both carry the directory's own number.
   */
  readDirectory(handle: HandleId, cookie: number, limit: number): readonly DirectoryEntry[];
  releaseDirectory(handle: HandleId): void;
  syncDirectory(handle: HandleId): Promise<void>;

  /** Names below "user.podfs." are the mount's own: they can be read, where it has something to say. */
  getXattr(ino: Ino, name: Name): Uint8Array;
  listXattrs(ino: Ino): readonly Name[];
  setXattr(caller: Caller, ino: Ino, name: Name, value: Uint8Array, flags: number): void;
  removeXattr(caller: Caller, ino: Ino, name: Name): void;

  totals(): FileSystemTotals;
}
