import type { Ino } from "../base/index.js";

/** Somebody who waits for an upload. */
export interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export const NOBODY: readonly Waiter[] = [];

/** A file that may have to be uploaded. Only {@link DirtyFiles} changes it, and its queues the `bytes` of an open one. */
export class DirtyFile {
  readonly ino: Ino;
  isOpen = false;
  /** When it was closed; of an open one, when it was opened or last published. Monotonic ms. */
  sinceMs: number;
  /** Size when it was closed last; of an open one, when it was last asked for. */
  bytes = 0;
  /**
   * When its first byte was written that the volume does not have, ms since 1970. Undefined when nothing of it has to be
   * uploaded after all.
   */
  dirtySinceMs: number | undefined;
  /** Uploads that failed since one succeeded. */
  failures = 0;
  /** After a failure: when it is tried again. Monotonic ms. */
  retryAtMs = 0;
  /** Somebody has come to wait since the last upload began. */
  isUrged = false;
  isUploading = false;
  /** Settled by the next upload that begins. */
  waiting: readonly Waiter[] = NOBODY;
  /** Settled by the upload under way. */
  served: readonly Waiter[] = NOBODY;

  constructor(ino: Ino, sinceMs: number) {
    this.ino = ino;
    this.sinceMs = sinceMs;
  }
}
