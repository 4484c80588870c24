import { realpath } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { UserError } from "../base/index.js";
import { processEnvironment, stateDirectory } from "../config/index.js";
import { callMount } from "./call-mount.js";
import type { DropReport } from "./control-protocol.js";
import { mountOf, PODFS_MOUNT_TYPE, readMountTable } from "./mount-table.js";

/** Far below what one line of the control socket may have. */
const REQUEST_CHARACTERS_MAX = 128 << 10;

export const NOTHING_DROPPED: DropReport = { files: 0, bytes: 0, kept: { notUploaded: 0, open: 0, fetching: 0 } };

/**
 * Has the mounts that hold these paths evict the local copies of all files there, so that the next read of each is a
 * cold one. A path that is a mount point means everything in it.
 * @param paths of files or directories; symlinks are followed.
 * @throws UserError no such path, or one that is in no podfs mount (nothing was dropped then); ControlError.
 */
export async function dropCached(
  paths: readonly string[],
  options: { readonly stateDir?: string } = {},
): Promise<DropReport> {
  const { stateDir = stateDirectory(processEnvironment()) } = options;
  const byMount = new Map<string, string[]>();
  const table = await readMountTable();
  for (const path of paths) {
    const real = await realPath(path);
    const mount = mountOf(table, real);
    if (mount?.type !== PODFS_MOUNT_TYPE) {
      const where = mount === undefined ? "" : ` (it is on ${mount.type})`;
      throw new UserError(`${path} is not in a podfs mount${where}; podfs status lists those there are`);
    }
    const inMount = byMount.get(mount.mountpoint) ?? [];
    byMount.set(mount.mountpoint, [...inMount, bytesAsCharacters(relative(mount.mountpoint, real))]);
  }
  let total = NOTHING_DROPPED;
  for (const [mountpoint, all] of byMount) {
    for (const some of inRequests(all)) {
      total = add(total, await callMount(mountpoint, { command: "drop", paths: some }, { stateDir }));
    }
  }
  return total;
}

/** What does not answer is asked by its name: {@link callMount} finds out why it does not. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") throw new UserError(`${path}: there is no such file or directory`);
    if (code === "ELOOP") throw new UserError(`${path}: too many symlinks`);
    return resolve(path);
  }
}

/** Names are bytes in a volume. */
function bytesAsCharacters(path: string): string {
  return Buffer.from(path).toString("latin1");
}

function* inRequests(paths: readonly string[]): Generator<string[]> {
  let some: string[] = [];
  let characters = 0;
  for (const path of paths) {
    if (characters + path.length > REQUEST_CHARACTERS_MAX && some.length > 0) {
      yield some;
      some = [];
      characters = 0;
    }
    some.push(path);
    characters += path.length;
  }
  yield some;
}

function add(one: DropReport, other: DropReport): DropReport {
  return {
    files: one.files + other.files,
    bytes: one.bytes + other.bytes,
    kept: {
      notUploaded: one.kept.notUploaded + other.kept.notUploaded,
      open: one.kept.open + other.kept.open,
      fetching: one.kept.fetching + other.kept.fetching,
    },
  };
}
