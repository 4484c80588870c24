import { constants } from "node:os";
import { BackendError, type BackendErrorKind } from "../backend/index.js";
import { CacheError, type CacheErrorKind } from "../cache/index.js";
import { FsError, type FsErrorKind } from "../fs/index.js";
import { MetaError, type MetaErrorKind } from "../meta/index.js";
import { PublishError, type PublishErrorKind } from "../publish/index.js";
import { TransferError, type TransferErrorKind } from "../transfer/index.js";
import { systemErrorCode } from "./fuse-error.js";

const { errno } = constants;

/** Errno numbers by name, positive. */
export const Errno = errno;

/**
 * What a program is told when an operation fails: the only place where errors become errnos. Each table below takes
 * every kind of its layer, so that a new kind does not compile until it has one.
 *
 * Errors of the system that come through from the disk keep their errno. What is none of ours is EIO.
 */
export function errnoOf(error: unknown): number {
  if (error instanceof FsError) return fsErrno(error.kind);
  if (error instanceof CacheError) return cacheErrno(error.kind);
  if (error instanceof MetaError) return metaErrno(error.kind);
  if (error instanceof PublishError) return publishErrno(error.kind);
  if (error instanceof BackendError) return backendErrno(error.kind);
  if (error instanceof TransferError) return transferErrno(error.kind);
  return systemErrno(error) ?? errno.EIO;
}

/**
 * True when the error is an answer, as the rules of POSIX or the limits of the disk have it. Everything else is a failure
 * that somebody should hear of.
 */
export function isAnswer(error: unknown): boolean {
  return error instanceof FsError || (systemErrno(error) ?? errno.EIO) !== errno.EIO;
}

function fsErrno(kind: FsErrorKind): number {
  switch (kind) {
    case "not-found":
      return errno.ENOENT;
    case "stale":
      return errno.ESTALE;
    case "exists":
      return errno.EEXIST;
    case "not-directory":
      return errno.ENOTDIR;
    case "is-directory":
      return errno.EISDIR;
    case "not-empty":
      return errno.ENOTEMPTY;
    case "name-too-long":
      return errno.ENAMETOOLONG;
    case "no-attribute":
      return errno.ENODATA;
    case "not-permitted":
      return errno.EPERM;
    case "invalid":
      return errno.EINVAL;
    case "not-supported":
      return errno.EOPNOTSUPP;
    case "too-big":
      return errno.E2BIG;
    case "range":
      return errno.ERANGE;
    case "file-too-large":
      return errno.EFBIG;
    case "too-many-links":
      return errno.EMLINK;
    case "read-only":
      return errno.EROFS;
    case "no-space":
      return errno.ENOSPC;
    case "bad-handle":
      return errno.EBADF;
    case "no-data-beyond":
      return errno.ENXIO;
  }
}

function cacheErrno(kind: CacheErrorKind): number {
  switch (kind) {
    case "no-space":
      return errno.ENOSPC;
    case "gone":
      return errno.ESTALE;
    case "fetch-failed":
    case "corrupt":
    case "local-io":
    case "closed":
      return errno.EIO;
  }
}

function metaErrno(kind: MetaErrorKind): number {
  switch (kind) {
    // Somebody else writes the volume now: for this mount it is as good as read-only.
    case "lease-held":
    case "lease-lost":
    case "read-only":
      return errno.EROFS;
    case "no-space":
      return errno.ENOSPC;
    case "diverged":
    case "not-a-volume":
    case "already-a-volume":
    case "too-new":
    case "corrupt":
    case "closed":
      return errno.EIO;
  }
}

function publishErrno(kind: PublishErrorKind): number {
  switch (kind) {
    case "lease-lost":
      return errno.EROFS;
    case "refused":
    case "stopped":
      return errno.EIO;
  }
}

/** A backend's refusal says nothing about the file: EACCES or ENOENT would send people looking in the wrong place. */
function backendErrno(kind: BackendErrorKind): number {
  switch (kind) {
    case "no-space":
      return errno.ENOSPC;
    case "aborted":
      return errno.EINTR;
    case "not-found":
    case "precondition-failed":
    case "access-denied":
    case "no-such-backend":
    case "unavailable":
    case "throttled":
    case "bad-response":
    case "local-file":
      return errno.EIO;
  }
}

function transferErrno(kind: TransferErrorKind): number {
  switch (kind) {
    case "aborted":
      return errno.EINTR;
    case "backend":
    case "corrupt":
    case "missing":
    case "local-file":
    case "verification":
    case "worker":
      return errno.EIO;
  }
}

const ERRNO_BY_CODE = new Map<string, number>(Object.entries(errno));

function systemErrno(error: unknown): number | undefined {
  const code = systemErrorCode(error);
  return code === undefined ? undefined : ERRNO_BY_CODE.get(code);
}
