import type { ChunkHash, ContentId, Ino, Name, OpSeq } from "../base/index.js";
import {
  type ChunkRecord,
  type ContentRecord,
  type DentryRecord,
  type DirectoryTimes,
  type InodeRecord,
  inodeOfAttributes,
  type PackNumber,
  type PackRecord,
} from "../format/index.js";
import type { FileContent } from "./content-records.js";
import { deriveState } from "./derived-state.js";
import { addLateContent, type LatePlace } from "./late-content.js";
import { decodeLocalFile, factKey, LocalRange, localKey, numberOfKey, operationKey } from "./local-records.js";
import { MetaError } from "./meta-error.js";
import type { AttributeListener, LocalFile, Metadata, MetadataTransaction, PendingOperation } from "./metadata.js";
import { MetadataReader } from "./metadata-reader.js";
import { type LocalChange, MetadataWriter } from "./metadata-writer.js";
import { decodeOperation, encodeOperation, pendingOperationOf, type Totals } from "./operation.js";
import { scan } from "./scan.js";
import type { MetaStore, StoreTransaction } from "./store.js";
import { readPosition, type VolumePosition, writePosition } from "./volume-position.js";

/** Hears of every change that must survive a power loss, after it was committed and in order. */
export interface OperationJournal {
  /** Takes copies: all bytes may be reused when it returns. */
  append(change: {
    readonly seq: OpSeq;
    /** Encoded, when the change has anything to ship. */
    readonly operation: Uint8Array | undefined;
    readonly localChanges: readonly LocalChange[];
  }): void;
  /** The volume has these operations now. */
  shipped(seqs: readonly OpSeq[]): void;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface VolumeMetadataOptions {
  readonly store: MetaStore;
  /** Absent where nothing local could be lost: followers. */
  readonly journal?: OperationJournal;
  /** Shared records may not be changed. */
  readonly readOnly?: boolean;
}

/**
 * {@link Metadata} over a store that holds a loaded volume.
 *
 * Invariants: #nextSeq is above every seq in the volume and every pending one; #totals are those of the shared
 * records in the store. Both are derived from the store when it is opened, and change only with a commit.
 */
export class VolumeMetadata implements Metadata {
  readonly #store: MetaStore;
  readonly #journal: OperationJournal | undefined;
  readonly #readOnly: boolean;
  readonly #listeners: ((operation: PendingOperation) => void)[] = [];
  readonly #attributeListeners: AttributeListener[] = [];
  #nextSeq: OpSeq;
  #nextPack: PackNumber;
  #totals: Totals;

  constructor(options: VolumeMetadataOptions) {
    this.#store = options.store;
    this.#journal = options.journal;
    this.#readOnly = options.readOnly ?? false;
    const start = this.#store.read(deriveState);
    this.#nextSeq = start.nextSeq;
    this.#nextPack = start.nextPack;
    this.#totals = start.totals;
  }

  update<T>(change: (tx: MetadataTransaction) => T): T {
    const { value, writer, encoded } = this.#store.transact((tx) => {
      const writer = new MetadataWriter(tx, { seq: this.#nextSeq, totals: this.#totals, nextPack: this.#nextPack });
      const value = change(writer);
      return { value, writer, encoded: this.#record(tx, writer) };
    });
    this.#committed(writer, encoded);
    return value;
  }

  onOperation(listener: (operation: PendingOperation) => void): void {
    this.#listeners.push(listener);
  }

  onAttributes(listener: AttributeListener): void {
    this.#attributeListeners.push(listener);
  }

  addLateContent(ino: Ino, content: FileContent, place: LatePlace): boolean {
    return this.#store.transact((tx) => addLateContent(tx, ino, content, place));
  }

  *pendingOperations(): Iterable<PendingOperation> {
    for (const [key, value] of scan(this.#store, LocalRange.operations)) {
      yield pendingOperationOf(decodeOperation(numberOfKey(key) as OpSeq, value), value.length);
    }
  }

  *dirtyFiles(): Iterable<readonly [Ino, LocalFile]> {
    for (const [key] of scan(this.#store, LocalRange.dirty)) {
      const ino = numberOfKey(key) as Ino;
      const file = this.local(ino);
      if (file !== undefined) yield [ino, file];
    }
  }

  localFiles(after: Ino | undefined, limit: number): readonly (readonly [Ino, LocalFile])[] {
    const start = after === undefined ? LocalRange.local.start : localKey((after + 1) as Ino);
    return this.#store.read((view) =>
      Array.from(
        view.range(start, LocalRange.local.end, { limit }),
        ([key, value]) => [numberOfKey(key) as Ino, decodeLocalFile(value)] as const,
      ),
    );
  }

  garbage(limit: number): readonly ContentId[] {
    const { start, end } = LocalRange.garbage;
    return this.#store.read((view) =>
      Array.from(view.range(start, end, { limit }), ([key]) => numberOfKey(key) as ContentId),
    );
  }

  totals(): Totals {
    return this.#totals;
  }

  fact(name: string): string | undefined {
    return this.#store.read((view) => {
      const bytes = view.get(factKey(name));
      return bytes && Buffer.from(bytes).toString("utf8");
    });
  }

  setFact(name: string, value: string): void {
    this.#store.transact((tx) => tx.put(factKey(name), Buffer.from(value, "utf8")));
  }

  /** The encoded operation, copied; undefined when it is not pending. */
  encodedOperation(seq: OpSeq): Uint8Array | undefined {
    return this.#store.read((view) => {
      const bytes = view.get(operationKey(seq));
      return bytes && Buffer.from(bytes);
    });
  }

  position(): VolumePosition {
    return this.#store.read((view) => readPosition(view));
  }

  /**
   * Records where the volume stands now, and that it has these operations: one transaction. For the log, which calls
   * it with no more operations than fit between two requests of the kernel.
   */
  advance(position: Partial<VolumePosition>, shipped: readonly OpSeq[]): void {
    const lastSeq = (this.#nextSeq - 1) as OpSeq;
    this.#store.transact((tx) => {
      writePosition(tx, { ...readPosition(tx), ...position, lastSeq, totals: this.#totals });
      for (const seq of shipped) tx.delete(operationKey(seq));
    });
    if (shipped.length > 0) this.#journal?.shipped(shipped);
  }

  /** After shared records were changed behind this object's back: segments of the log were applied. */
  rederive(): void {
    const start = this.#store.read(deriveState);
    this.#nextSeq = start.nextSeq;
    this.#nextPack = start.nextPack;
    this.#totals = start.totals;
  }

  async sync(): Promise<void> {
    await this.#journal?.sync();
  }

  async close(): Promise<void> {
    await this.#journal?.close();
    await this.#store.sync();
    await this.#store.close();
  }

  inode(ino: Ino): InodeRecord | undefined {
    return this.#read((view) => view.inode(ino));
  }

  directoryTimes(ino: Ino): DirectoryTimes | undefined {
    return this.#read((view) => view.directoryTimes(ino));
  }

  dentry(parent: Ino, name: Name): DentryRecord | undefined {
    return this.#read((view) => view.dentry(parent, name));
  }

  dentries(parent: Ino, after: Name | undefined, limit: number): readonly (readonly [Name, DentryRecord])[] {
    return this.#read((view) => view.dentries(parent, after, limit));
  }

  isEmptyDirectory(ino: Ino): boolean {
    return this.#read((view) => view.isEmptyDirectory(ino));
  }

  xattr(ino: Ino, name: Name): Uint8Array | undefined {
    return this.#read((view) => view.xattr(ino, name));
  }

  xattrNames(ino: Ino): readonly Name[] {
    return this.#read((view) => view.xattrNames(ino));
  }

  content(ino: Ino): ContentRecord | undefined {
    return this.#read((view) => view.content(ino));
  }

  contents(after: Ino, limit: number): readonly (readonly [Ino, ContentRecord])[] {
    return this.#read((view) => view.contents(after, limit));
  }

  chunkHashes(ino: Ino, first: number, count: number): readonly (ChunkHash | null)[] {
    return this.#read((view) => view.chunkHashes(ino, first, count));
  }

  chunk(hash: ChunkHash): ChunkRecord | undefined {
    return this.#read((view) => view.chunk(hash));
  }

  pack(number: PackNumber): PackRecord | undefined {
    return this.#read((view) => view.pack(number));
  }

  local(ino: Ino): LocalFile | undefined {
    return this.#read((view) => view.local(ino));
  }

  #read<T>(run: (view: MetadataReader) => T): T {
    return this.#store.read((view) => run(new MetadataReader(view)));
  }

  /** Remembers what is to be shipped, in the same transaction. */
  #record(tx: StoreTransaction, writer: MetadataWriter): Buffer | undefined {
    if (writer.entries.length === 0) return undefined;
    if (this.#readOnly) throw new MetaError("read-only", "this mount follows a volume and cannot change it");
    const encoded = encodeOperation(writer);
    tx.put(operationKey(writer.seq), encoded);
    return encoded;
  }

  #committed(writer: MetadataWriter, encoded: Buffer | undefined): void {
    const { seq, localChanges } = writer;
    for (const listener of this.#attributeListeners) tellAttributes(writer, listener);
    if (encoded !== undefined || localChanges.length > 0) {
      this.#journal?.append({ seq, operation: encoded, localChanges });
    }
    if (encoded === undefined) return;
    this.#nextSeq = (seq + 1) as OpSeq;
    this.#nextPack = writer.nextPack;
    this.#totals = writer.totals;
    if (this.#listeners.length === 0) return;
    const pending = pendingOperationOf(writer, encoded.length);
    for (const listener of this.#listeners) listener(pending);
  }
}

function tellAttributes({ entries, localChanges, touched }: MetadataWriter, listener: AttributeListener): void {
  for (const entry of entries) {
    const ino = entry.op === "touch" ? undefined : inodeOfAttributes(entry.key);
    if (ino !== undefined) listener.changed(ino);
  }
  for (const { ino } of localChanges) listener.changed(ino);
  for (const { ino, times } of touched) listener.touched(ino, times);
}
