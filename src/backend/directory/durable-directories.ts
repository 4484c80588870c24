import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { assert } from "../../base/index.js";
import { errnoCode } from "./directory-errors.js";

/** Objects may hold what is private in the workspace: nobody else's business, whatever the umask. */
export const DIRECTORY_MODE = 0o700;

/** Filesystems that cannot sync a directory say so in these ways; there is nothing more to be done then. */
const SYNC_UNSUPPORTED: ReadonlySet<string | undefined> = new Set(["EINVAL", "ENOTSUP", "ENOSYS", "EBADF", "EISDIR"]);

/** Makes directories below a root such that they survive a power loss before anything in them is relied upon. */
export class DurableDirectories {
  readonly #root: string;
  /**
   * Directories whose own entry is known to be durable. One somebody else has just made may not be yet, so each is
   * synced once by everybody who uses it.
   */
  readonly #durable: Set<string>;

  constructor(root: string) {
    this.#root = root;
    this.#durable = new Set([root]);
  }

  /** @param path The root, or a directory below it. */
  async ensure(path: string): Promise<void> {
    if (this.#durable.has(path)) return;
    const parent = dirname(path);
    assert(parent.length < path.length, `${path} is not below ${this.#root}`);
    await this.ensure(parent);
    await mkdir(path, { mode: DIRECTORY_MODE }).catch((error: unknown) => {
      if (errnoCode(error) !== "EEXIST") throw error;
    });
    await syncDirectory(parent);
    this.#durable.add(path);
  }

  /** Forgets what it knows, because something was missing that should be there. */
  forget(): void {
    this.#durable.clear();
    this.#durable.add(this.#root);
  }
}

/** Makes the entries of a directory survive a power loss. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    await handle.sync();
  } catch (error) {
    if (!SYNC_UNSUPPORTED.has(errnoCode(error))) throw error;
  } finally {
    await handle?.close();
  }
}
