import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import type { Environment } from "./environment.js";

/**
 * Where caches lie when `--cache-dir` does not say: one directory for each volume below this one.
 *
 * Root gets /var/cache (FHS), not its home: pods often keep $HOME on the network volume, and a cache there would be
 * as slow as what it is to speed up. XDG_CACHE_HOME is somebody's decision and wins for everyone.
 */
export function cacheRoot(environment: Environment): string {
  const chosen = environment.variables.XDG_CACHE_HOME;
  if (chosen?.startsWith("/")) return join(chosen, "podfs");
  return environment.uid === 0 ? "/var/cache/podfs" : join(environment.home, ".cache", "podfs");
}

/** The default cache directory of a volume: readable, and its own for every address. */
export function defaultCacheDirectory(volumeUrl: string, environment: Environment): string {
  return join(cacheRoot(environment), nameFor(volumeUrl, volumeUrl));
}

/**
 * Where control sockets, logs and records of mounts lie. It outlives the mount and the machine's next boot, because a
 * log is wanted most after a crash.
 */
export function stateDirectory(environment: Environment): string {
  const chosen = environment.variables.PODFS_STATE_DIR;
  if (chosen !== undefined && chosen !== "") return resolve(environment.workingDirectory, chosen);
  const xdg = environment.variables.XDG_STATE_HOME;
  if (xdg?.startsWith("/")) return join(xdg, "podfs");
  return environment.uid === 0 ? "/var/lib/podfs" : join(environment.home, ".local", "state", "podfs");
}

export interface MountStatePaths {
  /** Private directory of this mountpoint on this machine. */
  readonly directory: string;
  readonly controlSocket: string;
  /** Where processes that save checkpoints connect. */
  readonly stagingSocket: string;
  /** What the daemon logs, JSON lines. */
  readonly log: string;
  /** What the daemon writes to stderr in spite of that: a crash of Node or of the addon. */
  readonly stderr: string;
}

/**
 * Files of one mountpoint in the state directory. The machine's name is part of the key, because home directories
 * may be shared and then /workspace of two machines would meet here.
 */
export function mountStatePaths(stateDir: string, mountpoint: string, hostname: string): MountStatePaths {
  const directory = join(stateDir, nameFor(mountpoint, `${hostname}\0${mountpoint}`));
  return {
    directory,
    controlSocket: join(directory, "control"),
    stagingSocket: join(directory, "staging"),
    log: join(directory, "daemon.log"),
    stderr: join(directory, "daemon.stderr"),
  };
}

const READABLE_LENGTH_MAX = 24; // The path of a socket has 107 bytes in all (unix(7)).

/** The readable end of `text`, and a hash of `key` that makes it unique. */
function nameFor(text: string, key: string): string {
  const readable = text
    .replace(/^[a-z0-9]+:\/\//, "")
    .replace(/\?.*$/, "")
    .replace(/[^A-Za-z0-9.]+/g, "-")
    .slice(-READABLE_LENGTH_MAX)
    .replace(/^[-.]+|[-.]+$/g, "");
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 12);
  return readable === "" ? hash : `${readable}-${hash}`;
}
