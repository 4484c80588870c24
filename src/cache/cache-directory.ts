import { closeSync, existsSync, fchmodSync, ftruncateSync, mkdirSync, readFileSync, writeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ContentId, UserError } from "../base/index.js";
import type { PackNumber } from "../format/index.js";
import type { Addon } from "../native/index.js";

const PRIVATE_DIRECTORY_MODE = 0o700;
/** Directories that content files are spread over: an old ext4 is slow with millions of entries in one. */
const FANOUT = 256;

type DirectoryCalls = Pick<Addon, "disableAccessTimes" | "lockFile">;

/**
 * The cache directory of one mount, locked: `content/<2 hex>/<content id>[.map]`, `mirrors/`, `lock`. Names are ids, not
 * inode numbers, so that a content file can exist before it is anybody's.
 */
export class CacheDirectory {
  readonly path: string;
  readonly #lockFd: number;
  readonly #addon: DirectoryCalls;

  private constructor(path: string, lockFd: number, addon: DirectoryCalls) {
    this.path = path;
    this.#lockFd = lockFd;
    this.#addon = addon;
  }

  /**
   * Makes what is missing, and locks. To be called before anything else in the directory is opened.
   * @throws UserError when it cannot be written, or belongs to a running mount.
   */
  static open(path: string, addon: DirectoryCalls): CacheDirectory {
    try {
      makeDirectories(path);
      mkdirSync(join(path, "content"), { recursive: true, mode: PRIVATE_DIRECTORY_MODE });
      mkdirSync(join(path, "mirrors"), { recursive: true, mode: PRIVATE_DIRECTORY_MODE });
    } catch (error) {
      throw notWritable(path, error);
    }
    const lockPath = join(path, "lock");
    const lockFd = addon.lockFile(lockPath);
    if (lockFd < 0) throw lockError(path, lockPath, -lockFd);
    try {
      fchmodSync(lockFd, 0o600);
      ftruncateSync(lockFd);
      writeSync(lockFd, `${process.pid}\n`, 0);
    } catch (error) {
      closeSync(lockFd);
      throw notWritable(path, error);
    }
    return new CacheDirectory(path, lockFd, addon);
  }

  /** Lets another mount use the directory. */
  release(): void {
    closeSync(this.#lockFd);
  }

  get contentRoot(): string {
    return join(this.path, "content");
  }

  get mirrorRoot(): string {
    return join(this.path, "mirrors");
  }

  async makeContentDirectories(): Promise<void> {
    // Nobody asks when a content file was read, and the kernel looks whether to note it at each read by passthrough: 4 % of
    // 4 KiB reads. First, for what is made from now on; and here, since the directory above may be anybody's.
    this.#addon.disableAccessTimes(this.contentRoot);
    const names = Array.from({ length: FANOUT }, (_, index) => join(this.contentRoot, fanoutName(index)));
    await Promise.all(names.map((name) => mkdir(name, { recursive: true, mode: PRIVATE_DIRECTORY_MODE })));
  }

  contentDirectory(id: ContentId): string {
    return `${this.path}/content/${fanoutName(id % FANOUT)}`;
  }

  contentPath(id: ContentId): string {
    return `${this.contentDirectory(id)}/${id.toString(16)}`;
  }

  /** Block map of a content file that has one. */
  mapPath(id: ContentId): string {
    return `${this.contentPath(id)}.map`;
  }

  mirrorPath(pack: PackNumber, serial: number): string {
    return join(this.mirrorRoot, `${pack.toString(16)}.${serial.toString(16)}`);
  }
}

/** Not by `recursive`: below a directory that refuses with ENOENT, like /proc, Node tries for ever. */
function makeDirectories(path: string): void {
  try {
    mkdirSync(path, { mode: PRIVATE_DIRECTORY_MODE });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return;
    if (code !== "ENOENT" || existsSync(dirname(path))) throw error;
    makeDirectories(dirname(path));
    mkdirSync(path, { mode: PRIVATE_DIRECTORY_MODE });
  }
}

function fanoutName(index: number): string {
  return index.toString(16).padStart(2, "0");
}

function notWritable(path: string, error: unknown): UserError {
  const reason = error instanceof Error ? error.message : String(error);
  return new UserError(
    `the cache directory ${path} cannot be used (${reason}): choose another with --cache-dir`,
    error,
  );
}

const EAGAIN = 11;
const EACCES = 13;

function lockError(path: string, lockPath: string, errno: number): UserError {
  // Either, says fcntl(2), when somebody else has the lock; EACCES may also be what it says.
  if (errno !== EAGAIN && errno !== EACCES) {
    return new UserError(
      `the cache directory ${path} cannot be locked (errno ${errno}): choose another with --cache-dir`,
    );
  }
  let holder = "";
  try {
    holder = ` (pid ${readFileSync(lockPath, "utf8").trim()})`;
  } catch {
    // Then without the number.
  }
  return new UserError(
    `the cache directory ${path} is in use by another podfs mount${holder}: unmount that, or choose another with --cache-dir`,
  );
}
