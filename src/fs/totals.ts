import type { FsContext } from "./context.js";
import type { FileSystemTotals } from "./file-system.js";

/** For statfs: a backend does not say how much it will take, so the total is a constant, and only what is used is true. */
export function totals(context: FsContext): FileSystemTotals {
  const { inodes, contentBytes } = context.metadata.totals();
  const { volumeBytes, volumeInodes, nameBytesMax } = context.limits;
  return {
    totalBytes: Math.max(volumeBytes, contentBytes),
    freeBytes: Math.max(volumeBytes - contentBytes, 0),
    files: Math.max(volumeInodes, inodes),
    freeFiles: Math.max(volumeInodes - inodes, 0),
    nameBytesMax,
  };
}
