export { TransferError, type TransferErrorKind } from "./errors.js";
export type {
  ChunkOutcome,
  ChunkSource,
  ChunkTarget,
  PackedChunk,
  Priority,
  Transfer,
  TransferCounters,
  UploadedPack,
} from "./transfer.js";
export { type TransferOptions, WorkerTransfer } from "./worker-transfer.js";
