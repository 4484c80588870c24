import { PodfsError } from "../base/index.js";
import { TransferError } from "../transfer/index.js";

export type CacheErrorKind =
  /** The cache is full of data that is not uploaded yet, or the disk under it is. → ENOSPC */
  | "no-space"
  /** The backend did not deliver within the deadline. → EIO */
  | "fetch-failed"
  /** An object holds other bytes than it should, or is missing; the message names it. → EIO */
  | "corrupt"
  /** The inode's content is gone: it was deleted while this open was on its way. → ESTALE */
  | "gone"
  /** The disk of the cache directory failed. → EIO */
  | "local-io"
  /** The cache is closing. → EIO */
  | "closed";

/** What keeps a file's content from being opened, filled or written. */
export class CacheError extends PodfsError<CacheErrorKind> {
  override readonly name = "CacheError";
}

/** What a failed transfer means to who opens a file; other errors as they are. */
export function fetchError(error: unknown): unknown {
  if (!(error instanceof TransferError)) return error;
  const { message, retryable } = error;
  return new CacheError(cacheKindOf(error), message, { retryable, cause: error });
}

function cacheKindOf({ kind }: TransferError): CacheErrorKind {
  switch (kind) {
    case "corrupt":
    case "missing":
    case "verification":
      return "corrupt";
    case "local-file":
      return "local-io";
    case "backend":
    case "aborted":
    case "worker":
      return "fetch-failed";
  }
}
