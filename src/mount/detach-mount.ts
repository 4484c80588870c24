import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { UserError } from "../base/index.js";

const run = promisify(execFile);
const DETACH_TIMEOUT_MS = 10_000;

/** Whichever is there and allowed: the helpers of FUSE are set-user-ID, umount is for root. */
const DETACHERS: readonly (readonly [program: string, ...flags: string[]])[] = [
  ["fusermount3", "-u", "-z"],
  ["fusermount", "-u", "-z"],
  ["umount", "-l"],
];

/**
 * Takes a mount out of the tree at once, whatever its process does (`umount -l`). Needs neither that process nor the
 * addon: it is for when those are broken.
 * @throws UserError
 */
export async function detachMount(mountpoint: string): Promise<void> {
  const failures: string[] = [];
  for (const [program, ...flags] of DETACHERS) {
    try {
      await run(program, [...flags, "--", mountpoint], { timeout: DETACH_TIMEOUT_MS });
      return;
    } catch (error) {
      const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
      if (code !== "ENOENT") failures.push((stderr ?? "").trim().split("\n")[0] || `${program} failed`);
    }
  }
  const why = failures[0] ?? "neither fusermount3 nor umount is installed";
  throw new UserError(`cannot detach the mount on ${mountpoint} (${why}); as root: umount -l ${mountpoint}`);
}
