export { CacheDirectory } from "./cache-directory.js";
export type { CacheUsage, ContentCache, OpenContent, OpenIntent, UploadSource } from "./content-cache.js";
export { CacheError, type CacheErrorKind } from "./errors.js";
export type { LocalCache } from "./local-cache.js";
export { type ContentCacheOptions, openContentCache } from "./open-content-cache.js";
