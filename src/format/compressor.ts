import type * as Zstd from "@bokuweb/zstd-wasm";
import { assert } from "../base/index.js";
import { asBuffer } from "./fields.js";
import { FormatError } from "./format-error.js";

/**
 * Zstandard (RFC 8878) in WebAssembly: about half the C library's speed, nothing to compile, the same on every
 * processor. Why this one: docs/decisions/0002-compressor.md. Frames are standard; any zstd reads them.
 */

/** Measured: level 3 saves another 3 to 14 % and takes up to twice the time, on a processor that training needs too. */
const LEVEL = 1;
const NO_DICTIONARY = new Uint8Array(0);

interface Compressor {
  readonly zstd: typeof Zstd;
  /** Compression context, kept: making one costs more than compressing a small file. */
  readonly context: number;
}

let loading: Promise<void> | undefined;
let loaded: Compressor | undefined;

/**
 * Makes {@link compress} and {@link decompress} work in this thread. Worker threads and the mount call it once at
 * their start (about 20 ms), so that commands that compress nothing do not pay for it. Calling it again is free.
 */
export function loadCompressor(): Promise<void> {
  loading ??= load();
  return loading;
}

async function load(): Promise<void> {
  const zstd = await import("@bokuweb/zstd-wasm");
  await zstd.init();
  loaded = { zstd, context: zstd.createCCtx() };
}

/** One zstd frame that states its content size. Owned by the caller. */
export function compress(bytes: Uint8Array): Buffer {
  const { zstd, context } = compressor();
  return asBuffer(zstd.compressUsingDict(context, asBuffer(bytes), NO_DICTIONARY, LEVEL));
}

/**
 * The `rawLength` bytes that {@link compress} was given. What the frame says about its size is checked before memory
 * is taken for it, so that a damaged or hostile object cannot ask for more than the caller expects.
 *
 * @throws FormatError malformed.
 */
export function decompress(stored: Uint8Array, rawLength: number): Buffer {
  const { zstd } = compressor();
  const frame = asBuffer(stored);
  const declared = frameContentSize(frame);
  if (declared !== rawLength) {
    throw new FormatError("malformed", `zstd frame of ${declared ?? "unknown"} bytes where ${rawLength} are expected`);
  }
  // The library takes a size of 0 for an allocation that failed.
  if (rawLength === 0) return Buffer.alloc(0);
  let raw: Uint8Array;
  try {
    raw = zstd.decompress(frame);
  } catch (error) {
    throw new FormatError("malformed", "zstd frame is damaged", { cause: error });
  }
  if (raw.length === rawLength) return asBuffer(raw);
  throw new FormatError("malformed", `zstd frame holds ${raw.length} bytes where ${rawLength} are expected`);
}

function compressor(): Compressor {
  assert(loaded !== undefined, "loadCompressor() must have resolved before anything is compressed");
  return loaded;
}

const FRAME_MAGIC = 0xfd2fb528;
const SINGLE_SEGMENT_FLAG = 0x20;

/** Frame_Content_Size of RFC 8878, section 3.1.1.1; undefined when this is no frame or it states none. */
function frameContentSize(frame: Buffer): number | undefined {
  if (frame.length < 6 || frame.readUInt32LE(0) !== FRAME_MAGIC) return undefined;
  const descriptor = frame.readUInt8(4);
  const singleSegment = (descriptor & SINGLE_SEGMENT_FLAG) !== 0;
  const dictionaryIdLength = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (singleSegment ? 0 : 1) + dictionaryIdLength;
  const sizeLength = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
  if (sizeLength === 0 || frame.length < at + sizeLength) return undefined;
  switch (sizeLength) {
    case 1:
      return frame.readUInt8(at);
    case 2:
      return frame.readUInt16LE(at) + 256;
    case 4:
      return frame.readUInt32LE(at);
    default:
      return Number(frame.readBigUInt64LE(at));
  }
}
