import { largeFile } from "./large-file.js";
import type { BenchmarkOptions } from "./options.js";
import type { BenchmarkPlan } from "./run.js";
import { smallFiles } from "./small-files.js";
import { syncedWrites } from "./synced-writes.js";

/** A small file takes a block, and its names some more; twice, since a filesystem may be slow to give room back. */
const SMALL_FILE_BYTES = 16_384;
const MARGIN = 1.05;

/** What every directory can be asked: a large file, small files, names, fsync. */
export function directoryPlan({ sizeBytes, files, threads }: BenchmarkOptions): BenchmarkPlan {
  return {
    groups: [largeFile, smallFiles, syncedWrites],
    spaceBytes: Math.ceil((sizeBytes + (files + threads) * SMALL_FILE_BYTES) * MARGIN),
  };
}
