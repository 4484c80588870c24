import { link, lstat } from "node:fs/promises";
import { ignore } from "../../base/index.js";
import { errnoCode } from "./directory-errors.js";
import { type TemporaryFile, versionOf } from "./temporary-file.js";

/** EPERM is how Linux's VFS says that a filesystem has no hard links (link(2)). */
const UNSUPPORTED: ReadonlySet<string | undefined> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

export type LinkOutcome = "linked" | "taken" | "unsupported";

/**
 * Gives a temporary file a second name if that is free: the only exclusive creation of a complete file that works on
 * every NFS version. CIFS and some FUSE filesystems do not have it.
 */
export async function linkExclusively(file: TemporaryFile, path: string): Promise<LinkOutcome> {
  try {
    await link(file.path, path);
    return "linked";
  } catch (error) {
    // NFS repeats a request whose answer was lost, and then reports the name it has made itself as taken (open(2)).
    const stats = await lstat(path, { bigint: true }).catch(ignore);
    if (stats !== undefined && versionOf(stats) === file.version) return "linked";
    if (errnoCode(error) === "EEXIST") return "taken";
    if (UNSUPPORTED.has(errnoCode(error))) return "unsupported";
    throw error;
  }
}
