import { basename, relative, resolve } from "node:path";
import { formatBytes, parseDurationMs, parseSizeBytes, UserError } from "../base/index.js";
import { CACHE_SIZE_BYTES_MIN } from "./cache-limits.js";
import { defaultCacheDirectory, stateDirectory } from "./directories.js";
import type { Environment } from "./environment.js";
import { ConfigError } from "./errors.js";
import { DRAIN_TIMEOUT_DEFAULT, DURABILITIES, type MountOptions, TRANSPORTS } from "./mount-options.js";
import { canonicalVolumeUrl, isDirectoryVolume } from "./volume-location.js";

/** The options of `podfs mount` as written on the command line. */
export interface MountFlags {
  readonly create?: boolean;
  readonly cacheDir?: string;
  readonly cacheSize?: string;
  readonly freeSpace?: string;
  readonly stagingMemory?: string;
  readonly durability?: string;
  readonly readOnly?: boolean;
  readonly foreground?: boolean;
  readonly transport?: string;
  readonly passthrough?: boolean;
  readonly allowOther?: boolean;
  readonly takeOver?: boolean;
  readonly timeout?: string;
}

/**
 * Checks what was asked for and fills in what was not. Looks at no disk: what depends on the machine's state is
 * checked where it is used.
 * @throws ConfigError
 */
export function resolveMountOptions(
  volume: string,
  mountpoint: string,
  flags: MountFlags,
  environment: Environment,
): MountOptions {
  if (mountpoint === "") throw invalid("the mount point is empty; name a directory, like /workspace");
  const volumeUrl = canonicalVolumeUrl(volume, environment.workingDirectory);
  const cacheDir =
    flags.cacheDir === undefined
      ? defaultCacheDirectory(volumeUrl, environment)
      : resolve(environment.workingDirectory, flags.cacheDir);
  const cacheSizeBytes = size("--cache-size", flags.cacheSize);
  const freeSpaceBytes = size("--free-space", flags.freeSpace);
  const stagingMemoryBytes = size("--staging-memory", flags.stagingMemory);
  if (cacheSizeBytes !== undefined && cacheSizeBytes < CACHE_SIZE_BYTES_MIN) {
    const least = formatBytes(CACHE_SIZE_BYTES_MIN);
    throw invalid(`--cache-size ${flags.cacheSize} is too small to work with; give it at least ${least}`);
  }
  const options: MountOptions = {
    volumeUrl,
    mountpoint: resolve(environment.workingDirectory, mountpoint),
    create: flags.create ?? false,
    cacheDir,
    ...(cacheSizeBytes === undefined ? {} : { cacheSizeBytes }),
    ...(freeSpaceBytes === undefined ? {} : { freeSpaceBytes }),
    ...(stagingMemoryBytes === undefined ? {} : { stagingMemoryBytes }),
    durability: oneOf("--durability", flags.durability ?? "fsync", DURABILITIES),
    readOnly: flags.readOnly ?? false,
    foreground: flags.foreground ?? false,
    transport: oneOf("--transport", flags.transport ?? "native", TRANSPORTS),
    passthrough: flags.passthrough ?? true,
    allowOther: flags.allowOther ?? false,
    takeOver: flags.takeOver ?? false,
    drainTimeoutMs: duration("--timeout", flags.timeout ?? DRAIN_TIMEOUT_DEFAULT),
    stateDir: stateDirectory(environment),
  };
  checkConflicts(options);
  return options;
}

/** Reads a duration option. @throws ConfigError invalid-option */
export function duration(option: string, text: string): number {
  return asUsageError(() => parseDurationMs(text, option));
}

function size(option: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : asUsageError(() => parseSizeBytes(text, option));
}

function asUsageError<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof UserError) throw invalid(error.message, error);
    throw error;
  }
}

function oneOf<T extends string>(option: string, text: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw invalid(`${option} ${text}: choose one of ${choices.join(", ")}`);
  return choice;
}

function checkConflicts(options: MountOptions): void {
  const { volumeUrl, mountpoint, cacheDir } = options;
  if (options.readOnly && options.create) {
    throw conflict("--create writes a volume and --read-only does not write: create it first, then mount it read-only");
  }
  if (options.readOnly && options.takeOver) {
    throw conflict("--take-over is about who may write, and --read-only does not write: leave one of them out");
  }
  if (isWithin(cacheDir, mountpoint)) {
    throw conflict(
      `the cache directory ${cacheDir} would be hidden by the mount itself: choose a --cache-dir outside ${mountpoint}`,
    );
  }
  if (!isDirectoryVolume(volumeUrl)) return;
  if (isWithin(volumeUrl, mountpoint)) {
    throw conflict(
      `the volume ${volumeUrl} would be hidden by the mount itself: mount it elsewhere, ` +
        `for example on ${basename(mountpoint) === "workspace" ? "/mnt/workspace" : "/workspace"}`,
    );
  }
  if (isWithin(cacheDir, volumeUrl) || isWithin(volumeUrl, cacheDir)) {
    throw conflict(`the volume ${volumeUrl} and the cache directory ${cacheDir} must not contain each other`);
  }
}

/** True if `path` is `directory` or lies in it. */
function isWithin(path: string, directory: string): boolean {
  const way = relative(directory, path);
  return way === "" || !(way === ".." || way.startsWith("../"));
}

function invalid(message: string, cause?: unknown): ConfigError {
  return new ConfigError("invalid-option", message, { cause });
}

function conflict(message: string): ConfigError {
  return new ConfigError("conflict", message);
}
