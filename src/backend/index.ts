export type { BackendConfig, DirectoryBackendConfig, S3BackendConfig } from "./backend-config.js";
export { BackendError, type BackendErrorKind, isBackendError } from "./backend-error.js";
export { createObjectStore } from "./create-object-store.js";
export { type OpenBackendOptions, openBackend } from "./location.js";
export { MemoryStore } from "./memory/memory-store.js";
export { isObjectKey } from "./object-key.js";
export type {
  BackendCapabilities,
  ByteRange,
  GetOptions,
  ListOptions,
  ListPage,
  ObjectHead,
  ObjectInfo,
  ObjectStore,
  PutBody,
  PutOptions,
  RequestOptions,
  StoredObject,
} from "./object-store.js";
export { type Fault, type FaultPlan, failTimes, withFaults } from "./wrappers/faulty.js";
export { withLimit } from "./wrappers/limit.js";
export { addCounters, createCounters, type StoreCounters, withMeter } from "./wrappers/meter.js";
export { type RetryEvent, type RetryPolicy, withRetry } from "./wrappers/retry.js";
export type { StoreOperation, StoreRequest } from "./wrappers/store-decorator.js";
