import { PodfsError } from "../base/index.js";

export type PublishErrorKind =
  /** The lease is gone: nothing of this mount reaches the volume any more. What is here stays here. */
  | "lease-lost"
  /** The backend refuses for a reason that waiting does not mend (credentials, permissions, no space). */
  | "refused"
  /** The publisher was stopped while somebody waited. */
  | "stopped";

export class PublishError extends PodfsError<PublishErrorKind> {
  override readonly name = "PublishError";
}
