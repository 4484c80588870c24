export {
  Deferred,
  ignore,
  KeyedQueue,
  Limiter,
  orAborted,
  TimeoutError,
  type TimeoutOptions,
  withTimeout,
} from "./async.js";
export { ByteReader } from "./byte-reader.js";
export { ByteWriter } from "./byte-writer.js";
export { BytesError, type BytesErrorKind } from "./bytes-error.js";
export { type Clock, systemClock, type Timer } from "./clock.js";
export { collectGarbage } from "./collect-garbage.js";
export { assert, InvariantError, PodfsError, UserError } from "./errors.js";
export {
  type Brand,
  type ChunkHash,
  type ContentId,
  type Epoch,
  type HandleId,
  type Ino,
  type Name,
  type OpSeq,
  type PackId,
  ROOT_INO,
  type SegmentSeq,
} from "./ids.js";
export { encodeJsonLine, JsonLineParser } from "./json-lines.js";
export { shareLoop } from "./loop-share.js";
export { allocateReadBuffer, allocateReusedBuffer } from "./read-buffer.js";
export { formatBytes, formatDuration, parseDurationMs, parseSizeBytes } from "./sizes.js";
export { syncPath } from "./sync-path.js";
