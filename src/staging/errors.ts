import { PodfsError } from "../base/index.js";
import { CacheError, type CacheErrorKind } from "../cache/index.js";
import { FsError, type FsErrorKind } from "../fs/index.js";
import { MetaError, type MetaErrorKind } from "../meta/index.js";
import { PublishError, type PublishErrorKind } from "../publish/index.js";
import type { StagingErrorKind } from "./protocol.js";

/** Why a save, or a client, is refused: what the client is told. */
export class StagingError extends PodfsError<StagingErrorKind> {
  override readonly name = "StagingError";
}

/**
 * What a client is told when something fails: the only place where errors of the layers below become kinds of the
 * protocol. Each table takes every kind, so that a new one does not compile until it is in it.
 */
export function stagingError(error: unknown): StagingError {
  if (error instanceof StagingError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new StagingError(kindOf(error), message, { cause: error });
}

function kindOf(error: unknown): StagingErrorKind {
  if (error instanceof FsError) return fsKind(error.kind);
  if (error instanceof CacheError) return cacheKind(error.kind);
  if (error instanceof MetaError) return metaKind(error.kind);
  if (error instanceof PublishError) return publishKind(error.kind);
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return systemKind(code);
}

function fsKind(kind: FsErrorKind): StagingErrorKind {
  switch (kind) {
    case "exists":
    case "not-directory":
    case "is-directory":
    case "read-only":
    case "not-permitted":
    case "no-space":
    case "not-found":
      return kind;
    case "stale":
      return "not-found";
    case "name-too-long":
    case "invalid":
      return "invalid-name";
    case "file-too-large":
      return "no-space";
    case "not-empty":
    case "no-attribute":
    case "not-supported":
    case "too-big":
    case "range":
    case "too-many-links":
    case "bad-handle":
    case "no-data-beyond":
      return "io";
  }
}

function cacheKind(kind: CacheErrorKind): StagingErrorKind {
  switch (kind) {
    case "no-space":
      return "no-space";
    case "closed":
      return "closing";
    case "fetch-failed":
    case "corrupt":
    case "gone":
    case "local-io":
      return "io";
  }
}

function metaKind(kind: MetaErrorKind): StagingErrorKind {
  switch (kind) {
    case "lease-held":
    case "lease-lost":
    case "read-only":
      return "read-only";
    case "no-space":
      return "no-space";
    case "closed":
      return "closing";
    case "diverged":
    case "not-a-volume":
    case "already-a-volume":
    case "too-new":
    case "corrupt":
      return "io";
  }
}

function publishKind(kind: PublishErrorKind): StagingErrorKind {
  switch (kind) {
    case "lease-lost":
      return "read-only";
    case "stopped":
      return "closing";
    case "refused":
      return "io";
  }
}

function systemKind(code: unknown): StagingErrorKind {
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return "no-space";
    case "ENOMEM":
    case "EMFILE":
    case "ENFILE":
      return "no-memory";
    case "ECUDA":
      return "device";
    default:
      return "io";
  }
}
