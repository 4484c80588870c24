import type { Attributes, Caller } from "../fs/index.js";
import { StagingError } from "./errors.js";

const ROOT = 0;
const S_ISVTX = 0o1000;
const WRITE_AND_SEARCH = 0o3;

/**
 * What the kernel would check if this came through it (`default_permissions`; inode_permission and check_sticky in its
 * fs/namei.c): the mount's user may add a name to this directory, and take it from `replaced`.
 * @throws StagingError not-permitted
 */
export function requirePermission(
  caller: Caller,
  groups: readonly number[],
  directory: Attributes,
  replaced: Attributes | undefined,
): void {
  const { uid } = caller;
  if (uid === ROOT) return;
  const { mode } = directory;
  const shift = directory.uid === uid ? 6 : groups.includes(directory.gid) ? 3 : 0;
  if (((mode >> shift) & WRITE_AND_SEARCH) !== WRITE_AND_SEARCH) {
    throw new StagingError("not-permitted", "this user may not write in this directory");
  }
  if (replaced !== undefined && (mode & S_ISVTX) !== 0 && directory.uid !== uid && replaced.uid !== uid) {
    throw new StagingError("not-permitted", "the file to replace belongs to another user, and the directory is sticky");
  }
}
