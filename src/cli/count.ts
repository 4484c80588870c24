import { formatBytes } from "../base/index.js";
import type { DrainProgress } from "../mount/index.js";

/** `1 file`, `1,234 files`. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}

/** `12 files (3.4 GiB)`. */
export function filesAndBytes(pending: DrainProgress): string {
  return `${count(pending.pendingFiles, "file")} (${formatBytes(pending.pendingBytes)})`;
}
