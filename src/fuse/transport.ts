import type { Clock, Ino, Name } from "../base/index.js";
import type { FileSystem } from "../fs/index.js";

export type TransportName = "native" | "fuse-native";

/** As long as a kernel remembers anything: for what only this mount can change. */
export const VALID_FOREVER_MS = 365 * 24 * 3_600_000;

/**
 * How long the kernel may answer from what it was told, milliseconds. An exclusive writer's answers stay right until
 * the kernel itself changes them; what others may change needs an end, or {@link MountedTransport.invalidateEntry}.
 */
export interface Validity {
  readonly namesMs: number;
  /** That there is no such name. */
  readonly absentNamesMs: number;
  /** Of files that nobody has open for writing. */
  readonly attributesMs: number;
  /**
   * Of files that somebody has open for writing. The kernel itself forgets size and times at each write(2) (fuse_write_update_attr
   * in its fs/fuse/file.c), but not when a mapping is stored to: so much later than the store may stat(2) show its mtime.
   */
  readonly writtenAttributesMs: number;
}

export const EXCLUSIVE_VALIDITY: Validity = {
  namesMs: VALID_FOREVER_MS,
  absentNamesMs: VALID_FOREVER_MS,
  attributesMs: VALID_FOREVER_MS,
  // Enough for what follows the creation of a file at once: the kernel's own check that it may be opened, fstat, chmod.
  writtenAttributesMs: 100,
};

/** What a transport says while it runs. A pino logger is one. */
export interface TransportLog {
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface TransportOptions {
  /** Absolute path of an empty directory; or `/dev/fd/N`, an open `/dev/fuse` that somebody has mounted. */
  readonly mountpoint: string;
  /** What the mount table shows as the source. */
  readonly source: string;
  readonly readOnly: boolean;
  /** Let users other than this one in. */
  readonly allowOther: boolean;
  readonly validity: Validity;
  /** Ask for kernel passthrough. */
  readonly passthrough: boolean;
  /** 1, or 2 when the cache directory is itself on a stacked filesystem (overlayfs). */
  readonly maxStackDepth: number;
  /** close(2) must reach {@link FileSystem.flush}: `--durability close`. */
  readonly flushOnClose: boolean;
  readonly clock: Clock;
  readonly log: TransportLog;
  /** Everything written so far, durable in the volume: for syncfs(2), where the kernel passes it on. */
  syncAll(): Promise<void>;
  /** The kernel has refused passthrough after all: what is opened from now on is served. */
  onPassthroughLost(reason: string): void;
  /** A promise the code makes to itself is broken: the mount has to stop. The request itself got EIO. */
  onInvariant(error: Error): void;
  /** The mount is over: unmounted by somebody, aborted, or a device error (then `error` says which). Called once. */
  onEnd(error: string): void;
}

/** One mounted filesystem. */
export interface MountedTransport {
  readonly name: TransportName;
  /** Whether complete files are read and written inside the kernel, now. */
  readonly passthrough: boolean;
  /** Why they are not; empty when they are. */
  readonly passthroughReason: string;
  /** Requests since the mount, by operation. */
  counters(): Readonly<Record<string, number>>;
  /** The kernel forgets attributes and pages of the inode: others have changed it. */
  invalidateInode(ino: Ino): void;
  /** The kernel forgets the name, or that there is none. */
  invalidateEntry(parent: Ino, name: Name): void;
  /** While closed, writes wait (the cache is full). */
  setWriteGate(open: boolean): void;
  /**
   * Resolves when no request will come any more. With `lazy` the mount point is free at once, and whoever still is in
   * the mount gets errors.
   * @throws FuseError busy, unmount-failed
   */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
}

/** A way to let the kernel ask us. The two of them differ in speed and in how much of POSIX gets through. */
export interface Transport {
  readonly name: TransportName;
  /**
   * Mounts, and resolves when the kernel has accepted the connection; requests may come from then on.
   * @throws FuseError
   */
  mount(fileSystem: FileSystem, options: TransportOptions): Promise<MountedTransport>;
}
