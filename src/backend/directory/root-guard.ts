import type { BigIntStats } from "node:fs";
import { stat } from "node:fs/promises";
import { ignore } from "../../base/index.js";
import { BackendError } from "../backend-error.js";
import { errnoCode, toBackendError } from "./directory-errors.js";

/**
 * Notices when the backend directory is not there, or is not the one it was.
 *
 * When a network filesystem is unmounted, the empty mount point shows in its place: every object would seem to be
 * missing, and puts would fill the machine's own disk and be lost with it. Both device and inode must change to count:
 * a remount changes the first, filesystems without lasting inode numbers the second.
 */
export class RootGuard {
  readonly #path: string;
  #seen: { readonly dev: bigint; readonly ino: bigint } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Takes the directory that is there now for the right one, if there is one. */
  async remember(): Promise<void> {
    await this.check("open").catch(ignore);
  }

  /** @throws BackendError no-such-backend, unavailable. */
  async check(what: string): Promise<void> {
    let root: BigIntStats;
    try {
      root = await stat(this.#path, { bigint: true });
    } catch (error) {
      if (errnoCode(error) === "ENOENT") {
        throw new BackendError(
          "no-such-backend",
          `the directory ${this.#path} does not exist: a typing error, or not mounted?`,
          { cause: error },
        );
      }
      throw toBackendError(error, `${what}: ${this.#path}`);
    }
    if (!root.isDirectory()) throw new BackendError("no-such-backend", `${this.#path} is not a directory`);
    this.#seen ??= { dev: root.dev, ino: root.ino };
    if (root.dev !== this.#seen.dev && root.ino !== this.#seen.ino) {
      throw new BackendError(
        "unavailable",
        `${what}: ${this.#path} is not the directory it was when podfs started: unmounted?`,
      );
    }
  }
}
