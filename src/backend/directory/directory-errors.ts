import { BackendError, type BackendErrorKind } from "../backend-error.js";

/** What errno of a file operation in the backend directory means. What is not here is taken for a passing trouble. */
const KIND_BY_CODE: ReadonlyMap<string, BackendErrorKind> = new Map([
  ["ENOENT", "not-found"],
  ["EEXIST", "precondition-failed"],
  ["EACCES", "access-denied"],
  ["EPERM", "access-denied"],
  ["EROFS", "access-denied"],
  ["ENOSPC", "no-space"],
  ["EDQUOT", "no-space"],
  ["EFBIG", "no-space"],
  ["EMLINK", "no-space"],
  ["ENOTDIR", "no-such-backend"],
  ["ELOOP", "bad-response"],
  ["ENAMETOOLONG", "no-such-backend"],
  // A network filesystem's bad days, and ours (EMFILE).
  ["EIO", "unavailable"],
  ["ESTALE", "unavailable"],
  ["ETIMEDOUT", "unavailable"],
  ["EHOSTDOWN", "unavailable"],
  ["EHOSTUNREACH", "unavailable"],
  ["ENETUNREACH", "unavailable"],
  ["ECONNREFUSED", "unavailable"],
  ["ECONNRESET", "unavailable"],
  ["ENOTCONN", "unavailable"],
  ["EREMOTEIO", "unavailable"],
  ["EAGAIN", "unavailable"],
  ["EBUSY", "unavailable"],
  ["EINTR", "unavailable"],
  ["EMFILE", "unavailable"],
  ["ENFILE", "unavailable"],
  ["ENOMEM", "unavailable"],
]);

const MEANING: Partial<Record<BackendErrorKind, string>> = {
  "not-found": "there is no such object",
  "access-denied": "no permission",
  "no-space": "no room left",
};

export function errnoCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** @param what The request, as in `put pack/ab/…`. */
export function toBackendError(error: unknown, what: string): BackendError {
  if (error instanceof BackendError) return error;
  const code = errnoCode(error);
  const kind = (code === undefined ? undefined : KIND_BY_CODE.get(code)) ?? "unavailable";
  const text = error instanceof Error ? error.message : String(error);
  const meaning = MEANING[kind];
  return new BackendError(kind, meaning === undefined ? `${what}: ${text}` : `${what}: ${meaning} (${text})`, {
    cause: error,
  });
}
