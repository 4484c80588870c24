import { createHash } from "node:crypto";
import { link, lstat, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ignore } from "../../base/index.js";
import { BackendError } from "../backend-error.js";
import { linkExclusively } from "./exclusive-link.js";
import { type TemporaryFile, versionOf } from "./temporary-file.js";

/** A holder needs milliseconds. One that has not finished by now has crashed. */
const STALE_AGE_MS_MIN = 60_000;

export interface ReplaceLockOptions {
  /** Where locks are. */
  readonly directory: string;
  readonly key: string;
  /** Our own temporary file, of which the lock is a second name. */
  readonly file: TemporaryFile;
}

/**
 * Runs a task while nobody else replaces the same object, by a lock file made with link(2), which is atomic on every
 * filesystem including NFS, where flock is not to be relied upon.
 *
 * Not a guarantee: a holder that stalls for longer than {@link STALE_AGE_MS_MIN} between its look at the object and
 * its rename is taken for dead, and without hard links there is no lock at all. That is why a directory does not
 * claim `conditionalReplace`.
 * @throws BackendError unavailable while somebody else holds the lock.
 */
export async function withReplaceLock<T>(options: ReplaceLockOptions, task: () => Promise<T>): Promise<T> {
  const { directory, key, file } = options;
  // A hash, because a key may be longer than a file name.
  const lockPath = join(directory, `lock-${createHash("sha256").update(key).digest("hex")}`);
  let outcome = await linkExclusively(file, lockPath);
  if (outcome === "taken") {
    await breakStaleLock(lockPath, file);
    outcome = await linkExclusively(file, lockPath);
  }
  if (outcome === "taken") throw new BackendError("unavailable", `put ${key}: somebody else is replacing the object`);
  try {
    return await task();
  } finally {
    if (outcome === "linked") await unlink(lockPath).catch(ignore);
  }
}

async function breakStaleLock(lockPath: string, file: TemporaryFile): Promise<void> {
  const before = await lstat(lockPath, { bigint: true }).catch(ignore);
  if (before === undefined || file.mtimeMs - Number(before.mtimeMs) < STALE_AGE_MS_MIN) return;
  // Renamed away, not unlinked: somebody may have broken it and locked anew since the look at it.
  const away = `${file.path}-broken`;
  await rename(lockPath, away).catch(ignore);
  const after = await lstat(away, { bigint: true }).catch(ignore);
  if (after !== undefined && versionOf(after) !== versionOf(before)) await link(away, lockPath).catch(ignore);
  await unlink(away).catch(ignore);
}
