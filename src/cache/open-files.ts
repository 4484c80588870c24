import { constants, open } from "node:fs";
import { promisify } from "node:util";
import { CHUNK_SIZE_BYTES } from "../format/index.js";
import type { Addon, ContentFile, ContentFileEvents } from "../native/index.js";
import { CacheError } from "./errors.js";

const openFile = promisify(open);
const FILE_MODE = 0o600;

export type ContentFiles = Pick<
  Addon,
  "createContentFile" | "createFiles" | "openCached" | "removeFiles" | "reserveDescriptors"
>;

/** "existing", "new" (must not be there), or either. */
export type Existence = "existing" | "new" | "any";

/** Opens a file of the cache directory, on a thread of the pool. @throws CacheError local-io. */
export async function openDescriptor(path: string, existence: Existence): Promise<number> {
  const create = existence === "existing" ? 0 : constants.O_CREAT | (existence === "new" ? constants.O_EXCL : 0);
  try {
    return await openFile(path, constants.O_RDWR | create, FILE_MODE);
  } catch (error) {
    throw localError(`cannot open ${path}`, error);
  }
}

/** A content file whose every byte is there. Owns the descriptor. */
export function completeFile(addon: ContentFiles, fd: number): ContentFile {
  return addon.createContentFile({ fd, blockSize: CHUNK_SIZE_BYTES });
}

/** A content file with a block map. Owns the descriptor, also when this fails. @throws CacheError local-io, no-space. */
export function mappedFile(addon: ContentFiles, fd: number, mapPath: string, events: ContentFileEvents): ContentFile {
  try {
    return addon.createContentFile({ fd, blockSize: CHUNK_SIZE_BYTES, mapPath }, events);
  } catch (error) {
    throw localError(`cannot use the block map ${mapPath}`, error);
  }
}

/** What a failing disk of the cache directory looks like to callers; a full one is told apart. */
export function localError(what: string, error: unknown): CacheError {
  if (error instanceof CacheError) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const kind = code === "ENOSPC" || code === "EDQUOT" ? "no-space" : "local-io";
  return new CacheError(kind, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
