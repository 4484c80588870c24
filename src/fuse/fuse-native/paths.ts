import { LRUCache } from "lru-cache";
import { type Ino, type Name, ROOT_INO } from "../../base/index.js";
import type { Attributes, FileSystem } from "../../fs/index.js";

const DIRECTORIES_MAX = 4096;

/** Where a path leads, without its last component. */
export interface Place {
  readonly parent: Ino;
  readonly name: Name;
}

/** Names are bytes, the package's paths are text: UTF-8 both ways. What is no UTF-8 cannot be reached. */
export function nameOfText(text: string): Name {
  return Buffer.from(text, "utf8").toString("latin1") as Name;
}

export function textOfName(name: string): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/**
 * Finds inodes by path: libfuse 2's high-level interface knows nothing else.
 *
 * The directories on the way are remembered, each holding one lookup of its inode until it leaves. Invariant: a
 * remembered path leads where it says; so what moves or removes directories calls {@link forgetBelow}.
 */
export class Paths {
  readonly #fileSystem: FileSystem;
  readonly #directories: LRUCache<string, Ino>;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    this.#directories = new LRUCache({
      max: DIRECTORIES_MAX,
      dispose: (ino) => fileSystem.forget(ino, 1),
      noDisposeOnSet: true,
    });
  }

  /** @throws FsError not-found, not-directory: of a directory on the way */
  place(path: string): Place {
    const slash = path.lastIndexOf("/");
    return { parent: this.#directory(path.slice(0, slash)), name: nameOfText(path.slice(slash + 1)) };
  }

  /**
   * Looks a path up for as long as `use` takes.
   * @throws FsError not-found, not-directory
   */
  use<T>(path: string, use: (attributes: Attributes) => T): T {
    if (path === "/") return use(this.#fileSystem.getAttributes(ROOT_INO));
    const { parent, name } = this.place(path);
    const attributes = this.#fileSystem.lookup(parent, name);
    return this.once(attributes, use);
  }

  /** Uses attributes that were counted as a lookup, and takes that back afterwards. */
  once<T>(attributes: Attributes, use: (attributes: Attributes) => T): T {
    const forget = () => this.#fileSystem.forget(attributes.ino, 1);
    let result: T;
    try {
      result = use(attributes);
    } catch (error) {
      forget();
      throw error;
    }
    if (result instanceof Promise) return result.finally(forget) as T;
    forget();
    return result;
  }

  /** What was at this path, and below, is not there any more. */
  forgetBelow(path: string): void {
    for (const known of [...this.#directories.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.#directories.delete(known);
    }
  }

  #directory(path: string): Ino {
    if (path === "") return ROOT_INO;
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const slash = path.lastIndexOf("/");
    const parent = this.#directory(path.slice(0, slash));
    // The lookup is held until the entry leaves.
    const { ino } = this.#fileSystem.lookup(parent, nameOfText(path.slice(slash + 1)));
    this.#directories.set(path, ino);
    return ino;
  }
}
