import { mkdtemp, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { formatBytes } from "../base/index.js";
import { BenchmarkError } from "./errors.js";

const PREFIX = ".podfs-bench-";

/** @throws BenchmarkError `bad-directory` */
export async function checkDirectory(path: string): Promise<void> {
  const status = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw badDirectory(path, error);
  });
  if (!status.isDirectory()) throw new BenchmarkError("bad-directory", `${path} is not a directory`);
}

/** What benchmarks left in a directory that were killed, or are running now. */
export async function leftovers(path: string): Promise<string[]> {
  const names = await readdir(path).catch(() => []);
  return names.filter((name) => name.startsWith(PREFIX)).map((name) => join(path, name));
}

/**
 * Checks that each directory has room for what is going to be written to it; those of one filesystem share its room.
 * A filesystem that does not tell its size (some FUSE ones) is taken to have room.
 * @throws BenchmarkError `no-space`
 */
export async function checkSpace(paths: readonly string[], neededBytes: number): Promise<void> {
  const byDevice = new Map<number, { readonly path: string; needed: number }>();
  for (const path of paths) {
    const { dev } = await stat(path);
    const place = byDevice.get(dev) ?? { path, needed: 0 };
    place.needed += neededBytes;
    byDevice.set(dev, place);
  }
  for (const { path, needed } of byDevice.values()) {
    const { bavail, blocks, bsize } = await statfs(path);
    if (blocks === 0 || bavail * bsize >= needed) continue;
    throw new BenchmarkError(
      "no-space",
      `${path} has ${formatBytes(bavail * bsize)} free, and ${formatBytes(needed)} are needed; ` +
        "choose a smaller --size, or fewer --files",
    );
  }
}

/**
 * A directory of its own for a benchmark.
 * @throws BenchmarkError `bad-directory` where nothing can be written
 */
export async function makeWorkspace(path: string): Promise<string> {
  return mkdtemp(join(path, PREFIX)).catch((error: NodeJS.ErrnoException) => {
    throw badDirectory(path, error);
  });
}

/** @throws BenchmarkError `failed`, which says what is left */
export async function removeWorkspace(workspace: string): Promise<void> {
  await rm(workspace, { recursive: true, force: true, maxRetries: 3 }).catch((error: NodeJS.ErrnoException) => {
    throw new BenchmarkError("failed", `${workspace} could not be removed (${error.message}); do it by hand`, {
      cause: error,
    });
  });
}

function badDirectory(path: string, error: NodeJS.ErrnoException): BenchmarkError {
  const explained = (message: string): BenchmarkError =>
    new BenchmarkError("bad-directory", `${path} ${message}`, { cause: error });
  switch (error.code) {
    case "ENOENT":
      return explained("does not exist; make it, or mount something there, first");
    case "ENOTDIR":
      return explained("is not a directory");
    case "EACCES":
    case "EPERM":
      return explained("cannot be written by this user; the benchmark needs to");
    case "EROFS":
      return explained("is read-only; the benchmark needs to write there");
    case "ENOTCONN":
      return explained("is a mount whose process is dead; unmount it");
    case "ENOSPC":
    case "EDQUOT":
      return new BenchmarkError("no-space", `${path} is full`, { cause: error });
    default:
      return explained(`cannot be used: ${error.message}`);
  }
}
