import { readdir, readFile, readlink } from "node:fs/promises";

export interface MountUser {
  readonly pid: number;
  readonly name: string;
  /** What it uses: a path in the mount. */
  readonly path: string;
}

/**
 * Processes that keep a mount busy, as far as this user may see: by working directory, root, program or open file.
 * Reads links in /proc only, which never asks the mount.
 */
export async function mountUsers(mountpoint: string): Promise<MountUser[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const users = await Promise.all(pids.map((pid) => findUse(pid, mountpoint)));
  return users.filter((user) => user !== undefined);
}

/** `bash (pid 123, in /workspace/src), python3 (pid 456, in /workspace/data.bin) and 2 more`; empty without users. */
export function describeUsers(users: readonly MountUser[], shownMax = 3): string {
  const shown = users.slice(0, shownMax).map(({ pid, name, path }) => `${name} (pid ${pid}, in ${path})`);
  const more = users.length - shown.length;
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

async function findUse(pid: number, mountpoint: string): Promise<MountUser | undefined> {
  const base = `/proc/${pid}`;
  const descriptors = await readdir(`${base}/fd`).catch(() => []);
  for (const link of ["cwd", "root", "exe", ...descriptors.map((descriptor) => `fd/${descriptor}`)]) {
    const path = await readlink(`${base}/${link}`).catch(() => "");
    if (path === mountpoint || path.startsWith(`${mountpoint}/`)) {
      const name = await readFile(`${base}/comm`, "utf8").catch(() => "?");
      return { pid, name: name.trim(), path };
    }
  }
  return undefined;
}
