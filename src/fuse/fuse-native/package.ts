import { createRequire } from "node:module";
import { FuseError, messageOf, systemErrorCode } from "../fuse-error.js";

/** stat(2) as the package wants it: times in milliseconds, numbers of 32 bits but for size and blocks. */
export interface PackageStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly dev: number;
  readonly nlink: number;
  readonly ino: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

/** statvfs(2); all numbers have 32 bits. */
export interface PackageStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly favail: number;
  readonly fsid: number;
  readonly flag: number;
  readonly namemax: number;
}

/** Answers a request: 0 or a count, or a negative errno; then what the operation returns. */
export type Done<Result extends readonly unknown[] = []> = (status: number, ...result: Result | []) => void;

/** The operations podfs implements, as the package calls them. Paths are absolute within the mount, and text. */
export interface PackageOperations {
  getattr(path: string, done: Done<[PackageStat]>): void;
  statfs(path: string, done: Done<[PackageStatfs]>): void;
  readdir(path: string, done: Done<[readonly string[], readonly Partial<PackageStat>[]]>): void;
  readlink(path: string, done: Done<[string]>): void;
  truncate(path: string, size: number, done: Done): void;
  ftruncate(path: string, fd: number, size: number, done: Done): void;
  utimens(path: string, atimeMs: number, mtimeMs: number, done: Done): void;
  chown(path: string, uid: number, gid: number, done: Done): void;
  chmod(path: string, mode: number, done: Done): void;
  mknod(path: string, mode: number, rdev: number, done: Done): void;
  mkdir(path: string, mode: number, done: Done): void;
  unlink(path: string, done: Done): void;
  rmdir(path: string, done: Done): void;
  rename(from: string, to: string, done: Done): void;
  link(existing: string, path: string, done: Done): void;
  symlink(target: string, path: string, done: Done): void;
  open(path: string, flags: number, done: Done<[number]>): void;
  create(path: string, mode: number, done: Done<[number]>): void;
  read(path: string, fd: number, into: Uint8Array, length: number, position: number, done: Done): void;
  write(path: string, fd: number, from: Uint8Array, length: number, position: number, done: Done): void;
  flush(path: string, fd: number, done: Done): void;
  release(path: string, fd: number, done: Done): void;
  fsync(path: string, dataOnly: boolean | number, fd: number, done: Done): void;
  fsyncdir(path: string, dataOnly: boolean | number, fd: number, done: Done): void;
  setxattr(path: string, name: string, value: Uint8Array, position: number, flags: number, done: Done): void;
  getxattr(path: string, name: string, position: number, done: Done<[Buffer]>): void;
  listxattr(path: string, done: Done<[readonly string[]]>): void;
  removexattr(path: string, name: string, done: Done): void;
}

export interface PackageOptions {
  /** False: none of the package's own. */
  readonly timeout: false;
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
  /** Goes into libfuse's option string as it is: more options may follow a comma. */
  readonly fsname: string;
  readonly subtype: string;
  readonly entryTimeout: string;
  readonly attrTimeout: string;
}

/** `signal` answers the waiting thread: status, then what the operation returns. */
type Signal = (status: number, ...result: unknown[]) => void;

/** A mount of the package, with those of its insides that `repairs.ts` mends. */
export interface PackageFuse {
  readonly ops: PackageOperations;
  /** By operation number: called with the thread's state, the operation number, and arguments. */
  readonly _handlers: ((this: unknown, thread: Buffer, operation: number, ...args: unknown[]) => unknown)[];
  _op_getxattr(signal: Signal, path: string, name: string, into: Buffer, position: number): void;
  _op_listxattr(signal: Signal, path: string, into: Buffer): void;
  mount(done: (error: Error | null) => void): void;
  unmount(done: (error: Error | null) => void): void;
}

export interface PackageFuseClass {
  new (mountpoint: string, operations: PackageOperations, options: PackageOptions): PackageFuse;
  unmount(mountpoint: string, done: (error: Error | null) => void): void;
}

/**
 * Loads the npm package fuse-native, an optional dependency that needs libfuse 2.
 * @throws FuseError transport-unavailable: says what is missing and how to get it
 */
export function loadPackage(): PackageFuseClass {
  try {
    return createRequire(import.meta.url)("fuse-native") as PackageFuseClass;
  } catch (error) {
    throw new FuseError("transport-unavailable", whyUnavailable(error), { cause: error });
  }
}

/** One line: what is missing, and what to do. */
export function whyUnavailable(error: unknown): string {
  const [reason = ""] = messageOf(error).split("\n", 1);
  if (/libfuse\.so/.test(reason)) {
    return `the fuse-native transport needs libfuse 2, which is not installed (${reason}): apt-get install libfuse2, or use --transport native`;
  }
  if (systemErrorCode(error) === "MODULE_NOT_FOUND") {
    return "the npm package fuse-native is not installed: npm install --include=optional, or use --transport native";
  }
  return `the npm package fuse-native does not load (${reason}): npm rebuild fuse-native, or use --transport native`;
}
