import { PodfsError } from "../base/index.js";
import type { ControlFailureKind } from "./control-protocol.js";

export type ControlErrorKind =
  /** Nobody listens: the mount ended, or died. */
  | "not-running"
  /** Somebody listens and does not answer in time. */
  | "no-answer"
  /** The socket is another user's. */
  | "access-denied"
  /** The connection broke, or the answer makes no sense. */
  | "broken"
  | ControlFailureKind;

/** Why a running mount could not be asked, or what it refused. */
export class ControlError extends PodfsError<ControlErrorKind> {
  override readonly name = "ControlError";
}
