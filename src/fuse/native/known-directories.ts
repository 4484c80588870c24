import type { Ino } from "../../base/index.js";
import type { FileSystem } from "../../fs/index.js";
import type { FuseSession } from "../../native/index.js";

/** After so many names that were not there, more will be asked for: somebody unpacks into the directory, or searches in it. */
const MISSES = 16;
/** Listing as many takes about a millisecond. */
const NAMES_MAX = 1000;
/** In a directory with more than that, so many names are asked for before it is looked at again. */
const PAUSE_MISSES = 100_000;
/** Directories in which misses are counted; with more of them, counting starts again. */
const DIRECTORIES_MAX = 1024;

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
    if (misses < MISSES) {
      if (this.#misses.size >= DIRECTORIES_MAX) this.#misses.clear();
      this.#misses.set(directory, misses);
      return;
    }
    const names = this.#namesOf(directory);
    if (names === undefined) this.#misses.set(directory, MISSES - PAUSE_MISSES);
    // Not taken: tried again with the next miss.
    else if (this.#native.knowNames(directory, names)) this.#misses.delete(directory);
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
