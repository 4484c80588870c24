import { formatBytes, UserError } from "../base/index.js";
import type { MountOptions } from "./mount-options.js";

/** A cache must hold a pack being built and the chunks of a few open files, or nothing moves at all. */
export const CACHE_SIZE_BYTES_MIN = 64 * 1024 ** 2;

const FREE_SPACE_DEFAULT_BYTES_MAX = 10 * 1024 ** 3;
const FREE_SPACE_DEFAULT_SHARE = 0.1;

/** The filesystem of the cache directory, in bytes. */
export interface CacheSpace {
  readonly totalBytes: number;
  /** Free for this user. */
  readonly availableBytes: number;
  /** Nothing is cached there yet. What is cached already can be evicted, so a full disk is then no obstacle. */
  readonly isNew: boolean;
}

export interface CacheLimits {
  readonly limitBytes: number;
  /** Always leave this much of the filesystem free, whatever the limit says. */
  readonly freeSpaceBytes: number;
}

/**
 * What `--cache-size` and `--free-space` come to on a filesystem. Without them the cache may fill the disk but for a
 * tenth, at most 10 GiB: a pod's disk is there to be used, but pip and the logs need room too.
 * @throws UserError when what is left is too little to work with.
 */
export function cacheLimits(
  options: Pick<MountOptions, "cacheDir" | "cacheSizeBytes" | "freeSpaceBytes">,
  space: CacheSpace,
): CacheLimits {
  const freeSpaceBytes =
    options.freeSpaceBytes ??
    Math.min(Math.floor(space.totalBytes * FREE_SPACE_DEFAULT_SHARE), FREE_SPACE_DEFAULT_BYTES_MAX);
  if (space.isNew && space.availableBytes - freeSpaceBytes < CACHE_SIZE_BYTES_MIN) {
    throw new UserError(
      `the disk of the cache directory ${options.cacheDir} has ${formatBytes(space.availableBytes)} free, of which ` +
        `${formatBytes(freeSpaceBytes)} stay free; podfs needs ${formatBytes(CACHE_SIZE_BYTES_MIN)} more: ` +
        "make room, lower --free-space, or choose another --cache-dir",
    );
  }
  // What others have put on the disk is not the cache's, but they may take it away: the free space is the limit then.
  return { limitBytes: options.cacheSizeBytes ?? space.totalBytes - freeSpaceBytes, freeSpaceBytes };
}
