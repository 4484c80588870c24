import { spawn } from "node:child_process";
import { opendir, realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { systemClock, UserError } from "../base/index.js";
import { detachMount } from "./detach-mount.js";
import { mountAt, PODFS_MOUNT_TYPE, readMountTable } from "./mount-table.js";

/**
 * `free`: no podfs mount there. `live`: one, and it answers. `dead`: one whose process is gone, so that every access
 * fails with ENOTCONN. `hung`: one that has a process and does not answer.
 */
export type MountpointState = "free" | "live" | "dead" | "hung";

const ANSWER_TIMEOUT_MS = 3000;
const STACKED_MOUNTS_MAX = 16;

/**
 * The absolute path of a mountpoint, as the mount table has it. Never waits for a mount on it: the table is looked
 * into first, and resolving symlinks asks only the filesystems above.
 */
export async function resolveMountpoint(path: string): Promise<string> {
  const absolute = resolve(path);
  if (mountAt(await readMountTable(), absolute) !== undefined) return absolute;
  try {
    return await realpath(absolute);
  } catch {
    const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute));
    return join(parent, basename(absolute));
  }
}

/** Not for the process that serves the mount: it would ask itself, and wait for the answer. */
export async function mountpointState(mountpoint: string): Promise<MountpointState> {
  if (mountAt(await readMountTable(), mountpoint)?.type !== PODFS_MOUNT_TYPE) return "free";
  return askMount(mountpoint);
}

/**
 * By statfs(2), which always goes to the mount's process. In a process of its own, because a request that is never
 * answered can neither be cancelled nor killed: a thread of ours in it would keep this process from exiting.
 */
function askMount(mountpoint: string): Promise<"live" | "dead" | "hung"> {
  return new Promise((resolve) => {
    const child = spawn("stat", ["-f", "--", mountpoint], {
      env: { ...process.env, LC_ALL: "C" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaint = "";
    child.stderr.on("data", (text: Buffer) => {
      complaint += text.toString();
    });
    const timer = systemClock.setTimer(ANSWER_TIMEOUT_MS, () => {
      child.kill("SIGKILL");
      child.stderr.destroy();
      child.unref();
      resolve("hung");
    });
    child.on("close", () => {
      timer.cancel();
      resolve(complaint.includes("not connected") ? "dead" : "live");
    });
  });
}

/**
 * Makes sure that a mount on `mountpoint` hides nothing: it is an empty directory, after dead podfs mounts on it have
 * been cleaned away.
 * @returns true if there was a dead mount.
 * @throws UserError
 */
export async function prepareMountpoint(mountpoint: string): Promise<boolean> {
  const cleaned = await removeDeadMounts(mountpoint);
  await checkEmptyDirectory(mountpoint);
  return cleaned;
}

/** @throws UserError when a podfs mount lives there. */
async function removeDeadMounts(mountpoint: string): Promise<boolean> {
  for (let removed = 0; removed < STACKED_MOUNTS_MAX; removed++) {
    const state = await mountpointState(mountpoint);
    if (state === "free") return removed > 0;
    if (state === "live") {
      throw new UserError(`${mountpoint} is mounted by podfs already; see podfs status, or podfs umount ${mountpoint}`);
    }
    if (state === "hung") {
      throw new UserError(
        `${mountpoint} is mounted by a podfs that does not answer; end it with podfs umount --force ${mountpoint}`,
      );
    }
    await detachMount(mountpoint);
  }
  throw new UserError(`${mountpoint} has more dead mounts than podfs dares to remove; see mount | grep ${mountpoint}`);
}

async function checkEmptyDirectory(mountpoint: string): Promise<void> {
  try {
    for await (const entry of await opendir(mountpoint)) {
      // The root of a fresh ext4 filesystem counts as empty.
      if (entry.name === "lost+found") continue;
      throw new UserError(
        `the mount point ${mountpoint} is not empty (${JSON.stringify(entry.name)} is in it) and a mount would hide that; ` +
          "empty it, or mount elsewhere",
      );
    }
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case "ENOENT":
        throw new UserError(`the mount point ${mountpoint} does not exist; make it: mkdir -p ${mountpoint}`, error);
      case "ENOTDIR":
        throw new UserError(`the mount point ${mountpoint} is not a directory; mount on an empty directory`, error);
      case "EACCES":
        throw new UserError(`the mount point ${mountpoint} cannot be read by this user; choose one that can`, error);
      default:
        throw error;
    }
  }
}
