import { availableParallelism } from "node:os";

/** How much is measured, and for how long at most. */
export interface BenchmarkOptions {
  /** Of the large file; of all that a data loader's benchmark writes at once. */
  readonly sizeBytes: number;
  /** Small files; images of a data loader. */
  readonly files: number;
  /** Of those measurements that use several, and the processes of a data loader. */
  readonly threads: number;
  readonly rounds: number;
  /** What one measurement may take, but for the fsync of what it wrote; reading and writing large files gets more. */
  readonly stepMs: number;
}

export type DataLoader = "images" | "tokens" | "checkpoint";
export const DATA_LOADERS: readonly DataLoader[] = ["images", "tokens", "checkpoint"];

const GIB = 2 ** 30;
const THREADS_MAX = 8;
/** Of `--threads`: more than any machine has use for, and few enough to be started. */
export const THREADS_LIMIT = 1024;
/** Of `--files`, per thread: numbers of files are 32 bits wide in the loops. */
export const FILES_LIMIT = 10_000_000;

/** What is done when nothing is said: some two minutes for a directory, or twenty seconds. */
export function defaultOptions(quick: boolean, loader?: DataLoader): BenchmarkOptions {
  const files = { images: 100_000, checkpoint: 10_000, tokens: 1, none: 2000 }[loader ?? "none"];
  const filesQuick = { images: 2000, checkpoint: 1000, tokens: 1, none: 1000 }[loader ?? "none"];
  return {
    sizeBytes: quick ? GIB / 4 : GIB,
    files: quick ? filesQuick : files,
    threads: Math.min(THREADS_MAX, availableParallelism()),
    // A data loader's steps take long enough to be trusted the first time.
    rounds: quick || loader !== undefined ? 1 : 3,
    stepMs: quick ? 400 : 1000,
  };
}
