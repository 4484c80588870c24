export type { Descriptor } from "../format/index.js";
export type { LoadProgress } from "./checkpoint/load-volume.js";
export type { FileContent } from "./content-records.js";
export type { LatePlace } from "./late-content.js";
export { LmdbStore } from "./lmdb/lmdb-store.js";
export type { ChangedKeys } from "./log/apply-segment.js";
export { DivergedError, MetaError, type MetaErrorKind, type UnpublishedWork } from "./meta-error.js";
export type {
  AttributeListener,
  LocalFile,
  Metadata,
  MetadataLog,
  MetadataTransaction,
  MetadataView,
  OperationDependencies,
  PendingOperation,
} from "./metadata.js";
export { type FollowerVolume, type OpenFollowerOptions, openFollower } from "./open/open-follower.js";
export { type OpenWriterOptions, openWriter, type WriterVolume } from "./open/open-writer.js";
export { createVolume, findDescriptor, openDescriptor } from "./open/volume-descriptor.js";
export type { MetaStore, StoreTransaction, StoreView } from "./store.js";
export { VolumeMetadata } from "./volume-metadata.js";
export { InlineTasks, type MetaTasks } from "./worker/meta-tasks.js";
export { WorkerTasks } from "./worker/worker-tasks.js";
