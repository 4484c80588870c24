import { stat, statfs } from "node:fs/promises";
import { PodfsError, UserError } from "../base/index.js";

/** include/uapi/linux/miscdevice.h: FUSE_MINOR of MISC_MAJOR. */
const FUSE_MAJOR = 10;
const FUSE_MINOR = 229;
/** statfs(2) */
const OVERLAYFS_SUPER_MAGIC = 0x794c7630;

/** @throws UserError when there is nothing to mount with: before anything is made anywhere. */
export async function requireFuseDevice(): Promise<void> {
  const hint = "run the container with --device /dev/fuse (and CAP_SYS_ADMIN), or load the module: modprobe fuse";
  try {
    const { rdev } = await stat("/dev/fuse");
    if (rdev >> 8 === FUSE_MAJOR && (rdev & 0xff) === FUSE_MINOR) return;
  } catch (error) {
    throw new UserError(`there is no /dev/fuse on this machine; ${hint}`, error);
  }
  throw new UserError(`/dev/fuse is not the FUSE device; ${hint}`);
}

/** How deep filesystems may be stacked for passthrough: a cache on overlayfs is one itself. */
export async function stackDepth(cacheDir: string): Promise<1 | 2> {
  return (await statfs(cacheDir)).type === OVERLAYFS_SUPER_MAGIC ? 2 : 1;
}

interface Backend {
  readonly url: string;
  /** @throws BackendError */
  probe(): Promise<unknown>;
}

/**
 * Finds out what the backend can, by writing to it.
 * @param hasVolume whether there is one to read
 * @throws UserError when nothing may be written there; BackendError
 */
export async function requireWritable(store: Backend, hasVolume: boolean): Promise<void> {
  try {
    await store.probe();
  } catch (error) {
    if (!(error instanceof PodfsError) || error.kind !== "access-denied") throw error;
    const instead = hasVolume ? ", or mount the volume with --read-only" : "";
    throw new UserError(`${error.message}; podfs has to write to ${store.url}: give it the right to${instead}`, error);
  }
}
