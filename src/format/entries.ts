import { type ByteReader, ByteWriter, type Ino, type OpSeq } from "../base/index.js";
import { asBuffer, sharedLength } from "./fields.js";
import { FormatError } from "./format-error.js";
import { parseKey } from "./keys.js";
import type { LogEntry } from "./records.js";
import { isSameTime, type Time } from "./time.js";
import { keyOfEntry } from "./touch.js";

/** What an entry does. On disk (FORMATS, section "Entries"): never renumbered. */
const EntryOp = { put: 0, delete: 1, touch: 2 } as const;

const NSEC_PER_SEC = 1_000_000_000;
/** Added to a link delta, so that it is stored without a sign. */
const NLINK_DELTA_BIAS = 0x8000_0000;

/** Encoded entries, in the order given. A key is stored without what it shares with the key before it. */
export function encodeEntries(entries: readonly LogEntry[]): Uint8Array {
  const writer = new ByteWriter(entries.length * 96);
  let previous: Uint8Array = new Uint8Array(0);
  for (const entry of entries) {
    const key = keyOfEntry(entry);
    const shared = sharedLength(previous, key);
    writer.u8(EntryOp[entry.op]).varint(shared).prefixedBytes(key.subarray(shared));
    if (entry.op === "put") writer.prefixedBytes(entry.value);
    if (entry.op === "touch") {
      for (const time of [entry.mtime, entry.ctime]) writer.i64(time.sec).u32(time.nsec);
      writer.u32(entry.nlinkDelta + NLINK_DELTA_BIAS).u64(entry.seq);
    }
    previous = key;
  }
  return writer.finish();
}

/**
 * Reads `count` entries. Values are views of the reader's bytes; keys are not.
 *
 * @throws FormatError malformed. @throws BytesError, see {@link decoding}.
 */
export function decodeEntries(reader: ByteReader, count: number): LogEntry[] {
  const entries: LogEntry[] = [];
  let previous: Buffer = Buffer.alloc(0);
  for (let index = 0; index < count; index++) {
    const op = reader.u8();
    const key = decodeKey(reader, previous);
    if (op === EntryOp.put) entries.push({ op: "put", key, value: reader.prefixedBytes() });
    else if (op === EntryOp.delete) entries.push({ op: "delete", key });
    else if (op === EntryOp.touch) entries.push(decodeTouch(reader, key));
    else throw new FormatError("malformed", `entry ${index} has the unknown operation ${op}`);
    previous = key;
  }
  return entries;
}

function decodeKey(reader: ByteReader, previous: Buffer): Buffer {
  const shared = reader.varint();
  if (shared > previous.length) {
    throw new FormatError("malformed", `key shares ${shared} bytes with a key of ${previous.length}`);
  }
  const suffix = reader.prefixedBytes();
  const key = Buffer.allocUnsafe(shared + suffix.length);
  key.set(previous.subarray(0, shared));
  key.set(suffix, shared);
  return key;
}

function decodeTouch(reader: ByteReader, key: Buffer): LogEntry {
  const parsed = parseKey(key);
  if (parsed.kind !== "directory-times") throw new FormatError("malformed", `touch of a ${parsed.kind} key`);
  const mtime = decodeTime(reader);
  const ctime = decodeTime(reader);
  const nlinkDelta = reader.u32() - NLINK_DELTA_BIAS;
  return { op: "touch", ino: parsed.ino as Ino, mtime, ctime, nlinkDelta, seq: reader.u64() as OpSeq };
}

function decodeTime(reader: ByteReader): Time {
  const time = { sec: reader.i64(), nsec: reader.u32() };
  if (time.nsec >= NSEC_PER_SEC) throw new FormatError("malformed", `touch with ${time.nsec} nanoseconds`);
  return time;
}

/** True when both do the same: how {@link encodeVerifiedSegmentPart} compares. */
export function sameEntry(a: LogEntry, b: LogEntry): boolean {
  if (a.op === "touch") {
    return (
      b.op === "touch" &&
      a.ino === b.ino &&
      a.seq === b.seq &&
      a.nlinkDelta === b.nlinkDelta &&
      isSameTime(a.mtime, b.mtime) &&
      isSameTime(a.ctime, b.ctime)
    );
  }
  if (b.op === "touch" || !asBuffer(a.key).equals(b.key)) return false;
  if (a.op === "delete" || b.op === "delete") return a.op === b.op;
  return asBuffer(a.value).equals(b.value);
}
