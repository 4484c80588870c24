import type { Ino } from "../../base/index.js";
import type { FileSystem } from "../../fs/index.js";
import type { FuseSession } from "../../native/index.js";

/** After so many names that were not there, more will be asked for: somebody unpacks into the directory, or searches in it. */
const MISSES = 16;
/** Listing as many takes about a millisecond. */
const NAMES_MAX = 1000;
/**
 * So many before a directory is listed again, however that went: it may be too large, and of a name that came and went (a
 * lock file) the engine does not say that it is not there.
 */
const PAUSE_MISSES = 10_000;
/** Directories in which misses are counted; with more of them, counting starts again. */
const DIRECTORIES_MAX = 16_384;

/**
 * Tells the engine all names of directories in which names are asked for that are not there, so that it can say so by
 * itself: native/fuse/absent_names.h.
 */
export class KnownDirectories {
  readonly #fileSystem: FileSystem;
  readonly #native: Pick<FuseSession, "knowNames">;
  readonly #misses = new Map<Ino, number>();

  constructor(fileSystem: FileSystem, native: Pick<FuseSession, "knowNames">) {
    this.#fileSystem = fileSystem;
    this.#native = native;
  }

  /** A name was asked for, and was not there. */
  missed(directory: Ino): void {
    const misses = (this.#misses.get(directory) ?? 0) + 1;
    if (this.#misses.size >= DIRECTORIES_MAX) this.#misses.clear();
    this.#misses.set(directory, misses < MISSES ? misses : MISSES - PAUSE_MISSES);
    if (misses < MISSES) return;
    const names = this.#namesOf(directory);
    if (names !== undefined) this.#native.knowNames(directory, names);
  }

  /** Each with a NUL behind it; undefined when there are too many. */
  #namesOf(directory: Ino): Buffer | undefined {
    const handle = this.#fileSystem.openDirectory(directory);
    try {
      const entries = this.#fileSystem.readDirectory(handle, 0, NAMES_MAX + 1);
      if (entries.length > NAMES_MAX) return undefined;
      return Buffer.from(entries.map(({ name }) => `${name}\0`).join(""), "latin1");
    } finally {
      this.#fileSystem.releaseDirectory(handle);
    }
  }
}
