import { PodfsError } from "../base/index.js";

export type BackendErrorKind =
  /** No such object. */
  | "not-found"
  /** A conditional put met an object that is there, or has another version. */
  | "precondition-failed"
  /** Credentials are missing, wrong, or do not allow this. */
  | "access-denied"
  /** The bucket, directory or endpoint itself does not exist. */
  | "no-such-backend"
  /** Time-out, connection refused or reset, DNS, 5xx. */
  | "unavailable"
  /** 429, 503 SlowDown. */
  | "throttled"
  /** No room left, quota exceeded. */
  | "no-space"
  /** The answer makes no sense (wrong length, bad range). */
  | "bad-response"
  /** The local file that was to be sent cannot be read, or is shorter than announced. */
  | "local-file"
  /** The caller aborted. */
  | "aborted";

/** Kinds that pass by themselves. All others need somebody to change something. */
const RETRYABLE: ReadonlySet<BackendErrorKind> = new Set(["unavailable", "throttled"]);

/** Why a backend could not do what was asked: one line for people, and a kind for programs. */
export class BackendError extends PodfsError<BackendErrorKind> {
  override readonly name = "BackendError";

  constructor(
    kind: BackendErrorKind,
    message: string,
    options: { readonly retryable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(kind, message, { retryable: options.retryable ?? RETRYABLE.has(kind), cause: options.cause });
  }
}

/** True for a {@link BackendError} of one of these kinds (of any, when none is named). */
export function isBackendError(error: unknown, ...kinds: readonly BackendErrorKind[]): error is BackendError {
  return error instanceof BackendError && (kinds.length === 0 || kinds.includes(error.kind));
}

/** @throws BackendError aborted, when the caller has aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new BackendError("aborted", `${what}: aborted`, { cause: signal.reason });
}
