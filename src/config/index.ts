export { CACHE_SIZE_BYTES_MIN, type CacheLimits, type CacheSpace, cacheLimits } from "./cache-limits.js";
export {
  cacheRoot,
  defaultCacheDirectory,
  type MountStatePaths,
  mountStatePaths,
  stateDirectory,
} from "./directories.js";
export { type Environment, processEnvironment } from "./environment.js";
export { ConfigError, type ConfigErrorKind } from "./errors.js";
export {
  DRAIN_TIMEOUT_DEFAULT,
  DURABILITIES,
  type Durability,
  type MountOptions,
  TRANSPORTS,
  type TransportName,
} from "./mount-options.js";
export { duration, type MountFlags, resolveMountOptions } from "./resolve-mount-options.js";
export { stagingMemoryBytes } from "./staging-memory.js";
export { PODFS_VERSION } from "./version.js";
export { canonicalVolumeUrl, isDirectoryVolume } from "./volume-location.js";
