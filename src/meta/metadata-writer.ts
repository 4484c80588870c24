import { assert, type ChunkHash, type ContentId, type Ino, type Name, type OpSeq } from "../base/index.js";
import {
  applyTouch,
  CHUNK_SIZE_BYTES,
  type ChunkRecord,
  chunkKey,
  contentKey,
  type DentryRecord,
  type DirectoryTimes,
  decodeContent,
  decodeDirectoryTimes,
  dentryKey,
  directoryTimesKey,
  encodeChunkRecord,
  encodeContent,
  encodeDentry,
  encodeDirectoryTimes,
  encodeInode,
  encodePackRecord,
  extentKey,
  extentPrefix,
  type InodeRecord,
  inodeKey,
  type LogEntry,
  type PackNumber,
  type PackRecord,
  packKey,
  prefixEnd,
  type Time,
  xattrKey,
} from "../format/index.js";
import { contentRecord, extentGroupCount, extentRecords } from "./content-records.js";
import { dirtyKey, encodeLocalFile, garbageKey, isDirtyRecord, localKey } from "./local-records.js";
import type { LocalFile, MetadataTransaction, OperationDependencies } from "./metadata.js";
import { MetadataReader } from "./metadata-reader.js";
import { type Totals, withDependencies } from "./operation.js";
import type { StoreTransaction } from "./store.js";

const NOTHING = Buffer.alloc(0);
const NO_DEPENDENCIES: OperationDependencies = {};
const Kind = { inode: 1, content: 2, local: 4 } as const;

/** Change of one local image that matters after a power loss: the file is dirty, or was. */
export interface LocalChange {
  readonly ino: Ino;
  /** Encoded; undefined when it was deleted or is clean now. */
  readonly record: Uint8Array | undefined;
}

/** What a directory's times are once names have come or gone in it. */
export interface TouchedDirectory {
  readonly ino: Ino;
  readonly times: DirectoryTimes;
}

/** One operation while it runs: writes through to the store, and remembers what is to be shipped. */
export class MetadataWriter extends MetadataReader implements MetadataTransaction {
  readonly seq: OpSeq;
  readonly #tx: StoreTransaction;
  /** In order; a later entry of the same key wins. */
  readonly entries: LogEntry[] = [];
  readonly localChanges: LocalChange[] = [];
  /** In order. */
  readonly touched: TouchedDirectory[] = [];
  dependencies = NO_DEPENDENCIES;
  /** {@link Kind}s of records that were put for the inode this operation makes. */
  #made = 0;
  #inodes: number;
  #contentBytes: number;
  #nextPack: PackNumber;

  constructor(
    tx: StoreTransaction,
    start: { readonly seq: OpSeq; readonly totals: Totals; readonly nextPack: PackNumber },
  ) {
    super(tx);
    this.#tx = tx;
    this.seq = start.seq;
    this.#inodes = start.totals.inodes;
    this.#contentBytes = start.totals.contentBytes;
    this.#nextPack = start.nextPack;
  }

  get totals(): Totals {
    return { inodes: this.#inodes, contentBytes: this.#contentBytes };
  }

  get nextPack(): PackNumber {
    return this.#nextPack;
  }

  putInode(ino: Ino, record: InodeRecord): void {
    const key = inodeKey(ino);
    if (this.#before(ino, key, Kind.inode) === undefined) this.#inodes += 1;
    this.#put(key, encodeInode(record));
  }

  deleteInode(ino: Ino): void {
    const key = inodeKey(ino);
    if (this.#tx.get(key) === undefined) return;
    this.#inodes -= 1;
    this.#delete(key);
  }

  touch(directory: Ino, time: Time, nlinkDelta: number): void {
    this.#touch({ op: "touch", ino: directory, mtime: time, ctime: time, nlinkDelta, seq: this.seq });
  }

  putDirectoryTimes(ino: Ino, record: DirectoryTimes): void {
    const before = this.directoryTimes(ino);
    if (before === undefined) {
      this.#put(directoryTimesKey(ino), encodeDirectoryTimes({ ...record, seq: this.seq }));
      return;
    }
    // As a difference it commutes with what other operations in the directory do, whichever is shipped first.
    const { mtime, ctime } = record;
    this.#touch({ op: "touch", ino, mtime, ctime, nlinkDelta: record.nlink - before.nlink, seq: this.seq });
  }

  deleteDirectoryTimes(ino: Ino): void {
    this.#delete(directoryTimesKey(ino));
  }

  putDentry(parent: Ino, name: Name, record: DentryRecord): void {
    this.#put(dentryKey(parent, name), encodeDentry(record));
  }

  deleteDentry(parent: Ino, name: Name): void {
    this.#delete(dentryKey(parent, name));
  }

  putXattr(ino: Ino, name: Name, value: Uint8Array): void {
    this.#put(xattrKey(ino, name), Buffer.from(value));
  }

  deleteXattr(ino: Ino, name: Name): void {
    this.#delete(xattrKey(ino, name));
  }

  putContent(
    ino: Ino,
    content: { readonly sizeBytes: number; readonly mtime: Time },
    chunks: readonly (ChunkHash | null)[] | undefined,
  ): void {
    const key = contentKey(ino);
    const bytes = this.#before(ino, key, Kind.content);
    const before = bytes && decodeContent(bytes);
    this.#contentBytes += content.sizeBytes - (before?.sizeBytes ?? 0);
    const { sizeBytes, mtime } = content;
    if (chunks === undefined) {
      assert(before !== undefined, `inode ${ino} has no content whose times could change`);
      this.#put(key, encodeContent({ ...before, sizeBytes, mtime }));
      return;
    }
    this.#put(key, contentRecord({ sizeBytes, mtime, chunks }, this.seq));
    for (const [group, record] of extentRecords({ chunks }).entries()) this.#putExtent(ino, group, record);
    if (before !== undefined && before.chunks === undefined) this.#deleteExtents(ino, extentGroupCount(chunks.length));
  }

  deleteContent(ino: Ino, unpublishedBytes: number): void {
    const key = contentKey(ino);
    const before = this.#tx.get(key);
    if (before === undefined) return;
    const { sizeBytes, chunks } = decodeContent(before);
    this.#contentBytes -= sizeBytes;
    this.#delete(key);
    const extents = chunks === undefined ? this.#deleteExtents(ino, 0) : 0;
    // Not here, but maybe in the volume by then: see addLateContent.
    const unpublished = extentGroupCount(Math.ceil(unpublishedBytes / CHUNK_SIZE_BYTES));
    for (let group = extents; group < unpublished; group++) {
      this.entries.push({ op: "delete", key: extentKey(ino, group) });
    }
  }

  putChunk(hash: ChunkHash, record: ChunkRecord): void {
    this.#put(chunkKey(hash), encodeChunkRecord(record));
  }

  addPack(record: PackRecord): PackNumber {
    const number = this.#nextPack++;
    this.#put(packKey(number), encodePackRecord(record));
    return number;
  }

  putLocal(ino: Ino, file: LocalFile): void {
    const key = localKey(ino);
    const before = this.#before(ino, key, Kind.local);
    const wasDirty = before !== undefined && isDirtyRecord(before);
    const record = encodeLocalFile(file);
    this.#tx.put(key, record);
    if (file.dirty && !wasDirty) this.#tx.put(dirtyKey(ino), NOTHING);
    if (!file.dirty && wasDirty) this.#tx.delete(dirtyKey(ino));
    if (file.dirty || wasDirty) this.localChanges.push({ ino, record: file.dirty ? record : undefined });
  }

  deleteLocal(ino: Ino): void {
    const key = localKey(ino);
    const before = this.#tx.get(key);
    if (before === undefined) return;
    if (isDirtyRecord(before)) {
      this.#tx.delete(dirtyKey(ino));
      this.localChanges.push({ ino, record: undefined });
    }
    this.#tx.delete(key);
  }

  addGarbage(id: ContentId): void {
    this.#tx.put(garbageKey(id), NOTHING);
  }

  removeGarbage(id: ContentId): void {
    this.#tx.delete(garbageKey(id));
  }

  dependsOn(dependencies: OperationDependencies): void {
    // Kept as long as the operation waits: nearly all say it once, and what they say is as small as it can be.
    this.dependencies =
      this.dependencies === NO_DEPENDENCIES ? dependencies : withDependencies(this.dependencies, dependencies);
  }

  #touch(entry: Extract<LogEntry, { readonly op: "touch" }>): void {
    const key = directoryTimesKey(entry.ino);
    const before = this.#tx.get(key);
    assert(before !== undefined, `directory ${entry.ino} has no times to touch`);
    const times = applyTouch(decodeDirectoryTimes(before), entry);
    this.#tx.put(key, encodeDirectoryTimes(times));
    this.entries.push(entry);
    this.touched.push({ ino: entry.ino, times });
  }

  /** What there is before a record is put. Of an inode that this very operation makes there is nothing: it has its number. */
  #before(ino: Ino, key: Uint8Array, kind: number): Uint8Array | undefined {
    if ((ino as number) === this.seq && (this.#made & kind) === 0) {
      this.#made |= kind;
      return undefined;
    }
    return this.#tx.get(key);
  }

  #putExtent(ino: Ino, group: number, record: Buffer): void {
    const key = extentKey(ino, group);
    const before = this.#tx.get(key);
    // One changed chunk of a terabyte must not rewrite, and ship, the hashes of all others.
    if (before === undefined || !record.equals(before)) this.#put(key, record);
  }

  /** @returns how many */
  #deleteExtents(ino: Ino, firstGroup: number): number {
    const keys = Array.from(this.#tx.range(extentKey(ino, firstGroup), prefixEnd(extentPrefix(ino))), ([key]) => key);
    for (const key of keys) this.#delete(key);
    return keys.length;
  }

  #put(key: Uint8Array, value: Uint8Array): void {
    this.#tx.put(key, value);
    this.entries.push({ op: "put", key, value });
  }

  #delete(key: Uint8Array): void {
    this.#tx.delete(key);
    this.entries.push({ op: "delete", key });
  }
}
