import { constants } from "node:fs";
import { access, copyFile, mkdtemp, open, realpath, rm, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { formatBytes } from "../../base/index.js";
import { CACHE_SIZE_BYTES_MIN } from "../../config/index.js";
import { mountOf, readMountTable } from "../../mount/index.js";
import { type Finding, messageOf } from "./finding.js";

const NETWORK_FILESYSTEMS =
  /^(nfs|nfs4|cifs|smb3|ceph|lustre|glusterfs|9p|virtiofs|fuse\..*|fuse|fuseblk|beegfs|gpfs|afs)$/;
const MEMORY_FILESYSTEMS = /^(tmpfs|ramfs)$/;

/** The directory itself, or the nearest one above it that is there already: the same filesystem, as a rule. */
export async function nearestDirectory(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return nearestDirectory(dirname(path));
  }
}

/** @param directory as {@link nearestDirectory} gives it. */
export async function checkCacheFilesystem(cacheDir: string, directory: string): Promise<Finding> {
  const check = "cache directory";
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  const type = mountOf(await readMountTable(), directory)?.type ?? "unknown filesystem";
  const found = `${cacheDir} on ${type}, ${formatBytes(freeBytes)} free`;
  const fix = "name a directory on the pod's own disk with --cache-dir.";
  if (!(await isWritable(directory))) {
    return { check, verdict: "fail", found, follows: `This user cannot write to ${directory}.`, fix };
  }
  if (freeBytes < CACHE_SIZE_BYTES_MIN) {
    return {
      check,
      verdict: "fail",
      found,
      follows: `podfs needs ${formatBytes(CACHE_SIZE_BYTES_MIN)} at least.`,
      fix,
    };
  }
  if (NETWORK_FILESYSTEMS.test(type)) {
    return { check, verdict: "warn", found, follows: "The cache would be no faster than the network.", fix };
  }
  if (MEMORY_FILESYSTEMS.test(type)) {
    const follows = "The cache takes memory from your programs, and what is not uploaded dies with the machine.";
    return { check, verdict: "warn", found, follows, fix };
  }
  return { check, verdict: "ok", found, follows: "Cached files are read and written at the speed of this disk." };
}

export function checkReflink(directory: string): Promise<Finding> {
  const check = "reflink";
  return inScratch(check, directory, async (scratch) => {
    const source = join(scratch, "source");
    await writeFile(source, "x".repeat(8192));
    try {
      await copyFile(source, join(scratch, "copy"), constants.COPYFILE_FICLONE_FORCE);
      return { check, verdict: "ok", found: "works", follows: "Copies within the cache share their blocks." };
    } catch {
      const follows = "Copies within the cache are real copies; nothing else changes.";
      return { check, verdict: "ok", found: "not on this filesystem", follows };
    }
  });
}

export function checkDirectIo(directory: string): Promise<Finding> {
  const check = "O_DIRECT";
  return inScratch(check, directory, async (scratch) => {
    try {
      const file = await open(join(scratch, "direct"), constants.O_RDWR | constants.O_CREAT | constants.O_DIRECT);
      await file.close();
      return { check, verdict: "ok", found: "works", follows: "Checkpoints can bypass the page cache." };
    } catch {
      return {
        check,
        verdict: "warn",
        found: "not on this filesystem",
        follows: "Checkpoints go through the page cache, which costs memory and time.",
        fix: "put the cache on ext4, xfs or btrfs with --cache-dir.",
      };
    }
  });
}

/** Lets a check try something with files of its own, which are gone afterwards. */
async function inScratch(
  check: string,
  directory: string,
  attempt: (scratch: string) => Promise<Finding>,
): Promise<Finding> {
  let scratch: string | undefined;
  try {
    scratch = await mkdtemp(join(directory, ".podfs-doctor-"));
    return await attempt(scratch);
  } catch (error) {
    return { check, verdict: "warn", found: "not tried", follows: `${messageOf(error)}.` };
  } finally {
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  }
}

async function isWritable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
