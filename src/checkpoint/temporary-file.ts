import { randomBytes } from "node:crypto";
import { close } from "node:fs";
import { link, lstat, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ignore, systemClock } from "../base/index.js";
import type { Addon } from "../native/index.js";
import { CheckpointError } from "./errors.js";

const closeDescriptor = promisify(close);

const MARK = ".podfs-";
const TEMPORARY = /^\..+\.podfs-[0-9a-f]{16}$/;
/** Locks of other machines may not be seen here (NFS with `nolock`); what is being written there changes all the time. */
const LEFTOVER_AGE_MS = 600_000;
/** With the mark and the random digits, a name stays below 255 bytes. */
const STEM_BYTES_MAX = 180;
/** What filesystems say that have no hard links, or no fsync of directories. */
const UNSUPPORTED: ReadonlySet<unknown> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EINVAL"]);

type Locks = Pick<Addon, "lockFile">;

/**
 * A file that gets its name when it is whole: `.NAME.podfs-<random>` beside its place, locked for as long as its writer lives,
 * so that what dead writers have left can be told from what is being written. podfs's Python package does the same.
 */
export class TemporaryFile {
  private constructor(
    readonly path: string,
    readonly directory: string,
    readonly lockFd: number,
  ) {}

  /** Also removes what dead writers have left in the directory. */
  static async create(locks: Locks, directory: string, fileName: string): Promise<TemporaryFile> {
    await removeLeftovers(locks, directory);
    const stem = Buffer.from(fileName)
      .subarray(0, STEM_BYTES_MAX)
      .toString()
      .replace(/\ufffd+$/, "");
    for (;;) {
      const path = join(directory, `.${stem}${MARK}${randomBytes(8).toString("hex")}`);
      const handle = await open(path, "wx");
      const lockFd = locks.lockFile(path);
      const { nlink } = await handle.stat();
      await handle.close();
      // Somebody may have taken it for a dead writer's before it was locked.
      if (nlink > 0) return new TemporaryFile(path, directory, lockFd);
      if (lockFd >= 0) await closeDescriptor(lockFd);
    }
  }

  /** Gives it its name, durably. @throws CheckpointError exists; a system error. */
  async takeName(fileName: string, replace: boolean): Promise<void> {
    const final = join(this.directory, fileName);
    if (replace) await rename(this.path, final);
    else await this.#takeNewName(final);
    await syncDirectory(this.directory);
    await this.#unlock();
  }

  /** Leaves nothing behind. */
  async discard(): Promise<void> {
    await unlink(this.path).catch(ignore);
    await this.#unlock();
  }

  async #takeNewName(final: string): Promise<void> {
    try {
      await link(this.path, final);
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      // Nothing else here refuses a name that exists: look first.
      await checkReplaceable(final, false);
      await rename(this.path, final);
      return;
    }
    await unlink(this.path);
  }

  async #unlock(): Promise<void> {
    if (this.lockFd >= 0) await closeDescriptor(this.lockFd).catch(ignore);
  }
}

/** @throws CheckpointError exists, is-directory: no file of this name may be made. */
export async function checkReplaceable(path: string, replace: boolean): Promise<void> {
  const stats = await lstat(path).catch(ignore);
  if (stats === undefined) return;
  if (stats.isDirectory()) throw new CheckpointError("is-directory", `${path} is a directory`);
  if (!replace) throw new CheckpointError("exists", `${path} exists; overwrite: true replaces it`);
}

async function removeLeftovers(locks: Locks, directory: string): Promise<void> {
  for (const name of (await readdir(directory)).filter((name) => TEMPORARY.test(name))) {
    const path = join(directory, name);
    const stats = await lstat(path).catch(ignore);
    if (stats === undefined || systemClock.nowMs() - stats.mtimeMs < LEFTOVER_AGE_MS) continue;
    const lockFd = locks.lockFile(path);
    if (lockFd < 0) continue;
    // If it is gone, what is there now is what asking for the lock has made.
    await unlink(path).catch(ignore);
    await closeDescriptor(lockFd);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } catch (error) {
    if (!isUnsupported(error)) throw error;
  } finally {
    await handle.close();
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof Error && "code" in error && UNSUPPORTED.has(error.code);
}
