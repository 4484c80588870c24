import { constants } from "node:fs";
import type { HandleId, Ino, Name } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import { type Caller, type FileSystem, FsError, type LinkMode } from "../fs/index.js";

/** Set-id bits have no business on data, and files that have them are written through the engine. */
const PERMISSIONS_MASK = 0o777;

export type NamingFileSystem = Pick<
  FileSystem,
  "createTemporary" | "release" | "forget" | "link" | "lookup" | "getAttributes" | "unlink"
>;

/** Where a file is to appear. */
export interface Place {
  readonly parent: Ino;
  readonly name: Name;
}

/**
 * A file that nobody can find (O_TMPFILE), open for writing: what a transport would have after TMPFILE, without a kernel that
 * knows of it. It ends with a name, or as if it had never been.
 *
 * Invariant: until then the filesystem counts exactly one handle and one lookup for it; afterwards none.
 */
export class UnnamedFile {
  readonly #fileSystem: NamingFileSystem;
  readonly #caller: Caller;
  readonly #ino: Ino;
  readonly #handle: HandleId;
  readonly content: OpenContent;
  #ended = false;

  private constructor(
    fileSystem: NamingFileSystem,
    caller: Caller,
    made: Awaited<ReturnType<FileSystem["createTemporary"]>>,
  ) {
    this.#fileSystem = fileSystem;
    this.#caller = caller;
    this.#ino = made.attributes.ino;
    this.#handle = made.opened.handle;
    this.content = made.opened.content;
  }

  /** @throws FsError not-found, not-directory, read-only; CacheError no-space, local-io, closed */
  static async make(fileSystem: NamingFileSystem, caller: Caller, parent: Ino, mode: number): Promise<UnnamedFile> {
    const permissions = mode & PERMISSIONS_MASK;
    const made = await fileSystem.createTemporary(caller, parent, permissions, constants.O_RDWR);
    return new UnnamedFile(fileSystem, caller, made);
  }

  get ino(): Ino {
    return this.#ino;
  }

  /** Opens the content file anew, with flags of its own, as long as this is not ended: open(2) follows it to the file itself. */
  get path(): string {
    return `/proc/self/fd/${this.content.file.fd}`;
  }

  /**
   * Gives it its name. All in one turn of the event loop: no request of the kernel sees it half done.
   * @returns the file that had the name, if any
   * @throws FsError as `link`; {@link discard} it then
   */
  name({ parent, name }: Place, mode: LinkMode): Ino | undefined {
    const replaced = mode === "replace" ? inoAt(this.#fileSystem, { parent, name }) : undefined;
    this.#ended = true;
    // First: size and times are recorded, and who opens it from now on finds it closed.
    this.#fileSystem.release(this.#handle);
    try {
      this.#fileSystem.link(this.#caller, this.#ino, parent, name, mode);
    } catch (error) {
      this.#fileSystem.forget(this.#ino, 1);
      throw error;
    }
    // The kernel has not looked it up yet, neither as O_TMPFILE nor by its name.
    this.#fileSystem.forget(this.#ino, 2);
    return replaced;
  }

  /** After {@link name} it does nothing. */
  discard(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#fileSystem.release(this.#handle);
    this.#fileSystem.forget(this.#ino, 1);
  }
}

/** The inode that has this name now; undefined when none has. @throws FsError invalid, name-too-long */
export function inoAt(fileSystem: Pick<FileSystem, "lookup" | "forget">, { parent, name }: Place): Ino | undefined {
  try {
    const { ino } = fileSystem.lookup(parent, name);
    fileSystem.forget(ino, 1);
    return ino;
  } catch (error) {
    if (error instanceof FsError && error.kind === "not-found") return undefined;
    throw error;
  }
}
