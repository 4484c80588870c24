import { Errno } from "../errno.js";
import type { PackageFuse, PackageFuseClass } from "./package.js";

/** `op_utimens` in fuse-native.c. */
const OPERATION_UTIMENS = 12;
/**
 * Where `fuse_thread_locals_t` of fuse-native.c (2.2.6) keeps the times of a utimens, milliseconds, on 64-bit machines.
 */
const THREAD_ATIME_AT = 104;
const THREAD_MTIME_AT = 112;
const TWO_POW_32 = 0x1_0000_0000;

/** What fuse-native 2.2.6 gets wrong, mended from outside: see each method. */
export function repairPackage(Fuse: PackageFuseClass): PackageFuseClass {
  // It runs `fusermount -uz` in a shell, with the path in it. Unmounting is done before, by mount-helper.ts.
  Fuse.unmount = (_mountpoint, done) => done(null);
  return Fuse;
}

/** Mends one mount. Before `mount`. */
export function repairMount(fuse: PackageFuse): PackageFuse {
  repairUtimens(fuse);
  fuse._op_getxattr = (signal, path, name, into) => {
    fuse.ops.getxattr(path, name, 0, (status, value?: Buffer) => {
      signal(status < 0 || value === undefined ? status : fill(into, value), into.buffer);
    });
  };
  fuse._op_listxattr = (signal, path, into) => {
    fuse.ops.listxattr(path, (status, names = []) => {
      const list = Buffer.from(names.map((name) => `${name}\0`).join(""));
      signal(status < 0 ? status : fill(into, list), into.buffer);
    });
  };
  return fuse;
}

/**
 * It hands the access time over twice, and so loses the modification time, which is in the thread's state all the same.
 * If the access time is not where it should be, neither is the other, and what came is left alone.
 */
function repairUtimens(fuse: PackageFuse): void {
  const handler = fuse._handlers[OPERATION_UTIMENS];
  if (handler === undefined) return;
  fuse._handlers[OPERATION_UTIMENS] = function (thread, operation, path, atimeLow, atimeHigh, mtimeLow, mtimeHigh) {
    const mtime = modificationTime(thread, Number(atimeLow), Number(atimeHigh));
    const [low, high] = mtime ?? [mtimeLow, mtimeHigh];
    return handler.call(this, thread, operation, path, atimeLow, atimeHigh, low, high);
  };
}

/** Low and high 32 bits; undefined if the thread's state is not laid out as expected. */
export function modificationTime(
  thread: Buffer,
  atimeLow: number,
  atimeHigh: number,
): readonly [low: number, high: number] | undefined {
  if (thread.byteLength < THREAD_MTIME_AT + 8) return undefined;
  const read = (at: number) => thread.readUInt32LE(at) + thread.readUInt32LE(at + 4) * TWO_POW_32;
  if (read(THREAD_ATIME_AT) !== atimeLow + atimeHigh * TWO_POW_32) return undefined;
  return [thread.readUInt32LE(THREAD_MTIME_AT), thread.readUInt32LE(THREAD_MTIME_AT + 4)];
}

/** It claims more bytes than the buffer has, when that is too small, and libfuse then sends what lies behind it. */
function fill(into: Buffer, value: Buffer): number {
  // Length 0 asks how long the value is.
  if (into.byteLength === 0) return value.byteLength;
  if (value.byteLength > into.byteLength) return -Errno.ERANGE;
  into.set(value);
  return value.byteLength;
}
