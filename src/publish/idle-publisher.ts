import type { Publisher, PublishStatus } from "./publisher.js";

const NOTHING: PublishStatus = {
  pendingFiles: 0,
  pendingBytes: 0,
  pendingOperations: 0,
  oldestDirtyAgeMs: 0,
  lastError: undefined,
};

/** The publisher of a mount that writes nothing: everything it has is in the volume. */
export const idlePublisher: Publisher = {
  syncInode: async () => {},
  syncDirectory: async () => {},
  syncAll: async () => {},
  drain: async () => NOTHING,
  status: () => NOTHING,
};
