import type { Ino, OpSeq } from "../base/index.js";
import { asBuffer, FormatError, type LogEntry, type Time } from "../format/index.js";
import type { OperationDependencies, PendingOperation } from "./metadata.js";

/**
 * An operation as it waits in the local store (`o` records) and in the journal: what it changes, what it needs,
 * and what the volume's totals are after it. Local to one cache directory; byte order as {@link encodeLocalFile}.
 */
export interface Operation {
  readonly seq: OpSeq;
  readonly entries: readonly LogEntry[];
  readonly dependencies: OperationDependencies;
  readonly totals: Totals;
}

export interface Totals {
  readonly inodes: number;
  readonly contentBytes: number;
}

const VERSION = 1;
const OpCode = { put: 1, delete: 2, touch: 3 } as const;
const HEADER_LENGTH_BYTES = 1 + 16 + 8 + 12 + 4;
const TOUCH_LENGTH_BYTES = 1 + 8 + 12 + 12 + 4;
const NO_CONTENT = 0;

/** Kinds of shared records that conflict with nothing, or always come with another one of the file that does. */
const TAGS_WITHOUT_CONFLICT: ReadonlySet<number | undefined> = new Set([
  0x4b, // K: the same hash is the same chunk, wherever it is
  0x50, // P: numbers are never used twice
  0x45, // E: changes only together with the file's C
]);

export function encodeOperation(operation: Operation): Buffer {
  const { entries, dependencies, totals } = operation;
  const { directories = [], removedDirectories = [], inodes = [] } = dependencies;
  let length = HEADER_LENGTH_BYTES + 8 * (directories.length + removedDirectories.length + inodes.length);
  for (const entry of entries) length += lengthOf(entry);
  const bytes = Buffer.allocUnsafe(length);
  bytes[0] = VERSION;
  bytes.writeDoubleLE(totals.inodes, 1);
  bytes.writeDoubleLE(totals.contentBytes, 9);
  bytes.writeDoubleLE(dependencies.content ?? NO_CONTENT, 17);
  let at = writeInos(bytes, 25, directories);
  at = writeInos(bytes, at, removedDirectories);
  at = writeInos(bytes, at, inodes);
  at = bytes.writeUInt32LE(entries.length, at);
  for (const entry of entries) at = writeEntry(bytes, at, entry);
  return bytes;
}

/** Entries are views of `record`. @throws FormatError malformed, when another podfs wrote it or it is damaged. */
export function decodeOperation(seq: OpSeq, record: Uint8Array): Operation {
  const bytes = asBuffer(record);
  if (bytes[0] !== VERSION) throw new FormatError("malformed", `operation ${seq} has version ${bytes[0]}`);
  const content = bytes.readDoubleLE(17);
  const directories = readInos(bytes, 25);
  const removedDirectories = readInos(bytes, directories.end);
  const inodes = readInos(bytes, removedDirectories.end);
  let at = inodes.end;
  const count = bytes.readUInt32LE(at);
  at += 4;
  const entries: LogEntry[] = [];
  for (let index = 0; index < count; index++) {
    const read = readEntry(bytes, at, seq);
    entries.push(read.entry);
    at = read.end;
  }
  return {
    seq,
    entries,
    dependencies: {
      ...(directories.inos.length > 0 && { directories: directories.inos }),
      ...(removedDirectories.inos.length > 0 && { removedDirectories: removedDirectories.inos }),
      ...(inodes.inos.length > 0 && { inodes: inodes.inos }),
      ...(content !== NO_CONTENT && { content: content as Ino }),
    },
    totals: totalsOfOperation(bytes),
  };
}

/** The totals in an encoded operation, without decoding the rest. */
export function totalsOfOperation(record: Uint8Array): Totals {
  const bytes = asBuffer(record);
  return { inodes: bytes.readDoubleLE(1), contentBytes: bytes.readDoubleLE(9) };
}

/** What the publisher orders by. It is kept until the operation is shipped: an array that grows by push has 17 places. */
export function pendingOperationOf({ seq, entries, dependencies }: Operation, sizeBytes: number): PendingOperation {
  let count = 0;
  for (const entry of entries) if (mayConflict(entry)) count++;
  const keys = new Array<string>(count);
  let next = 0;
  for (const entry of entries) if (mayConflict(entry)) keys[next++] = asBuffer(entry.key).toString("latin1");
  return { seq, keys, dependencies, sizeBytes };
}

/** What an operation needs that says so twice. */
export function withDependencies(before: OperationDependencies, added: OperationDependencies): OperationDependencies {
  const content = added.content ?? before.content;
  return {
    directories: [...(before.directories ?? []), ...(added.directories ?? [])],
    removedDirectories: [...(before.removedDirectories ?? []), ...(added.removedDirectories ?? [])],
    inodes: [...(before.inodes ?? []), ...(added.inodes ?? [])],
    ...(content !== undefined && { content }),
  };
}

function mayConflict(entry: LogEntry): entry is Exclude<LogEntry, { readonly op: "touch" }> {
  return entry.op !== "touch" && !TAGS_WITHOUT_CONFLICT.has(entry.key[0]);
}

function lengthOf(entry: LogEntry): number {
  if (entry.op === "touch") return TOUCH_LENGTH_BYTES;
  return 3 + entry.key.length + (entry.op === "put" ? 4 + entry.value.length : 0);
}

function writeEntry(bytes: Buffer, start: number, entry: LogEntry): number {
  let at = bytes.writeUInt8(OpCode[entry.op], start);
  if (entry.op === "touch") {
    at = bytes.writeDoubleLE(entry.ino, at);
    at = writeTime(bytes, at, entry.mtime);
    at = writeTime(bytes, at, entry.ctime);
    return bytes.writeInt32LE(entry.nlinkDelta, at);
  }
  at = bytes.writeUInt16LE(entry.key.length, at);
  bytes.set(entry.key, at);
  at += entry.key.length;
  if (entry.op === "delete") return at;
  at = bytes.writeUInt32LE(entry.value.length, at);
  bytes.set(entry.value, at);
  return at + entry.value.length;
}

function readEntry(bytes: Buffer, start: number, seq: OpSeq): { readonly entry: LogEntry; readonly end: number } {
  const code = bytes.readUInt8(start);
  let at = start + 1;
  if (code === OpCode.touch) {
    const entry = {
      op: "touch",
      ino: bytes.readDoubleLE(at) as Ino,
      mtime: readTime(bytes, at + 8),
      ctime: readTime(bytes, at + 20),
      nlinkDelta: bytes.readInt32LE(at + 32),
      seq,
    } as const;
    return { entry, end: start + TOUCH_LENGTH_BYTES };
  }
  const keyLength = bytes.readUInt16LE(at);
  at += 2;
  const key = bytes.subarray(at, at + keyLength);
  at += keyLength;
  if (code === OpCode.delete) return { entry: { op: "delete", key }, end: at };
  if (code !== OpCode.put) throw new FormatError("malformed", `operation ${seq} has an entry of kind ${code}`);
  const valueLength = bytes.readUInt32LE(at);
  at += 4;
  return { entry: { op: "put", key, value: bytes.subarray(at, at + valueLength) }, end: at + valueLength };
}

function writeTime(bytes: Buffer, at: number, time: Time): number {
  return bytes.writeUInt32LE(time.nsec, bytes.writeDoubleLE(time.sec, at));
}

function readTime(bytes: Buffer, at: number): Time {
  return { sec: bytes.readDoubleLE(at), nsec: bytes.readUInt32LE(at + 8) };
}

function writeInos(bytes: Buffer, start: number, inos: readonly Ino[]): number {
  let at = bytes.writeUInt32LE(inos.length, start);
  for (const ino of inos) at = bytes.writeDoubleLE(ino, at);
  return at;
}

function readInos(bytes: Buffer, start: number): { readonly inos: readonly Ino[]; readonly end: number } {
  const count = bytes.readUInt32LE(start);
  const inos: Ino[] = [];
  let at = start + 4;
  for (let index = 0; index < count; index++, at += 8) inos.push(bytes.readDoubleLE(at) as Ino);
  return { inos, end: at };
}
