export {
  type CheckpointHeader,
  CheckpointParser,
  encodeCheckpoint,
} from "./checkpoint.js";
export type { KeyValue } from "./checkpoint-block.js";
export type { BlockReader } from "./checkpoint-block-reader.js";
export * from "./checkpoint-merge.js";
export * from "./checkpoint-reader.js";
export * from "./chunk.js";
export * from "./coalesce.js";
export { loadCompressor } from "./compressor.js";
export * from "./descriptor.js";
export { decodeEntries, encodeEntries } from "./entries.js";
export { asBuffer } from "./fields.js";
export { FormatError, type FormatErrorKind } from "./format-error.js";
export { FORMAT_VERSION } from "./framing.js";
export { hashOf, hexHashOf, RunningHash } from "./hash.js";
export { JsonObject } from "./json.js";
export * from "./keys.js";
export * from "./lease.js";
export * from "./object-keys.js";
export * from "./pack.js";
export * from "./record-codecs.js";
export * from "./records.js";
export * from "./safetensors.js";
export * from "./safetensors-header.js";
export * from "./safetensors-index.js";
export * from "./segment.js";
export * from "./segment-parts.js";
export * from "./time.js";
export * from "./touch.js";
