import { PodfsError } from "../base/index.js";

export type MetaErrorKind =
  /** Another writer has the volume; the message names it. */
  | "lease-held"
  /** This writer's lease has ended: nothing more may be written to the volume. */
  | "lease-lost"
  /** Others have written since, and this cache directory holds changes that the volume does not have. */
  | "diverged"
  /** There is no volume at this place. */
  | "not-a-volume"
  /** There already is one. */
  | "already-a-volume"
  /** Made by a newer podfs. */
  | "too-new"
  /** An object of the log, a checkpoint, or the local store is damaged or missing. */
  | "corrupt"
  /** The local disk has no room for metadata. */
  | "no-space"
  /** A follower was asked to change the volume. */
  | "read-only"
  /** Used after close. */
  | "closed";

export class MetaError extends PodfsError<MetaErrorKind> {
  override readonly name = "MetaError";
}

/** What a diverged cache directory holds that the volume does not. */
export interface UnpublishedWork {
  readonly files: number;
  readonly bytes: number;
  readonly operations: number;
}

/** Refuses to load other writers' changes over local ones. */
export class DivergedError extends MetaError {
  constructor(
    message: string,
    readonly unpublished: UnpublishedWork,
  ) {
    super("diverged", message);
  }
}
