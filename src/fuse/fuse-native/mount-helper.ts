import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { FuseError } from "../fuse-error.js";

const run = promisify(execFile);

/** Programs that unmount: FUSE's set-user-ID helpers, then the one for root. */
const HELPERS = [
  { program: "fusermount3", flags: ["-u"], lazy: "-z" },
  { program: "fusermount", flags: ["-u"], lazy: "-z" },
  { program: "umount", flags: [], lazy: "-l" },
] as const;

/** Unmounts with what the machine has: this transport is for where the addon is not. @throws FuseError busy, unmount-failed */
export async function unmountByHelper(mountpoint: string, lazy: boolean): Promise<void> {
  let complaint = "none of fusermount3, fusermount and umount is installed";
  for (const helper of HELPERS) {
    try {
      await run(helper.program, [...helper.flags, ...(lazy ? [helper.lazy] : []), "--", mountpoint]);
      return;
    } catch (error) {
      const { code, stderr } = error as { readonly code?: unknown; readonly stderr?: string };
      if (code !== "ENOENT") complaint = (stderr ?? "").trim().split("\n", 1)[0] || `${helper.program} failed`;
    }
  }
  const kind = /busy/i.test(complaint) ? "busy" : "unmount-failed";
  throw new FuseError(kind, `cannot unmount ${mountpoint}: ${complaint}`);
}

/** Whether a FUSE filesystem is mounted there: from the mount table, which never waits for a filesystem. */
export async function isMounted(mountpoint: string): Promise<boolean> {
  // The table has blanks, tabs, newlines and backslashes as three octal digits: proc_pid_mountinfo(5).
  const escaped = mountpoint.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table.split("\n").some((line) => line.split(" ")[4] === escaped && line.includes(" - fuse."));
}
