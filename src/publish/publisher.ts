import type { Ino } from "../base/ids.js";

export type Durability = "fsync" | "close" | "local";

export interface PublishStatus {
  readonly pendingFiles: number;
  readonly pendingBytes: number;
  readonly pendingOperations: number;
  readonly oldestDirtyAgeMs: number;
  readonly lastError: string | undefined;
}

/**
 * Carries dirty content and unshipped operations to the volume, in the order docs/decisions/0001 promises. Files are
 * taken up by themselves: about a second after they were closed, every 30 s while they stay open.
 */
export interface Publisher {
  /** Resolves when the inode's content, attributes and names as of now are in the volume. */
  syncInode(ino: Ino): Promise<void>;
  /** Resolves when the entries of the directory as of now are in the volume, with what they refer to. */
  syncDirectory(ino: Ino): Promise<void>;
  /** Resolves when everything as of now is in the volume. */
  syncAll(): Promise<void>;
  /** Publishes what it can until the deadline, then stops. Resolves to what is left. */
  drain(deadlineMs: number, onProgress?: (status: PublishStatus) => void): Promise<PublishStatus>;
  status(): PublishStatus;
}
