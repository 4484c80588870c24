import { PodfsError } from "../base/index.js";

export type TransferErrorKind =
  /** The backend refuses for good (wrong credentials, no such bucket), or did not answer before the deadline. → EIO */
  | "backend"
  /** The backend holds other bytes than it should; the message names the object. → EIO */
  | "corrupt"
  /** The object is not there; the message names it. → EIO */
  | "missing"
  /** A local file cannot be read or written: deleted meanwhile, or the disk is full or failing. → EIO */
  | "local-file"
  /** What was encoded does not decode to the same bytes: nothing was sent. → EIO */
  | "verification"
  /** The caller aborted. → EINTR */
  | "aborted"
  /** A worker thread died, or the pool is closing. → EIO */
  | "worker";

/** Why bytes did not arrive. Crosses the thread boundary as {@link TransferFailure}. */
export class TransferError extends PodfsError<TransferErrorKind> {
  override readonly name = "TransferError";
}

/** A {@link TransferError} as plain data: error classes do not survive structured cloning. */
export interface TransferFailure {
  readonly kind: TransferErrorKind;
  readonly message: string;
  readonly retryable: boolean;
}
