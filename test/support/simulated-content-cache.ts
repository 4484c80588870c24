import { createHash } from "node:crypto";
import type { ChunkHash, ContentId, Ino } from "../../src/base/index.js";
import type { CacheUsage, ContentCache, OpenContent, OpenIntent, UploadSource } from "../../src/cache/content-cache.js";
import { CHUNK_SIZE_BYTES, type Time } from "../../src/format/index.js";
import type { LocalFile, Metadata, MetadataTransaction } from "../../src/meta/index.js";
import { SimulatedContentFile } from "./simulated-content-file.js";

interface SimulatedOpen extends OpenContent {
  readonly file: SimulatedContentFile;
  readers: number;
  writers: number;
  removed: boolean;
}

/**
 * A simulation of the content cache, for tests of the layers above it: it keeps the contract's promises about records, open
 * files and their times, and holds bytes in memory instead of files. {@link publish} stands in for the publisher: what was
 * published and evicted can be fetched again, a turn of the event loop later.
 */
export class SimulatedContentCache implements ContentCache {
  /** The cache directory and the volume, as far as bytes go; survive {@link SimulatedContentCache.reopened}. */
  readonly #disk = new Map<ContentId, SimulatedContentFile>();
  readonly #volume = new Map<Ino, Buffer>();
  readonly #open = new Map<Ino, SimulatedOpen>();
  readonly #metadata: Metadata;
  readonly #now: () => Time;
  #nextContentId = 1;
  #passthrough = true;
  /** Spare content files left; when there are none, create says so until {@link spareReady}. */
  spares = Number.POSITIVE_INFINITY;
  readonly abandoned: OpenContent[] = [];

  constructor(metadata: Metadata, now: () => Time) {
    this.#metadata = metadata;
    this.#now = now;
  }

  setPassthrough(available: boolean): void {
    this.#passthrough = available;
  }

  create(tx: MetadataTransaction, ino: Ino, mtime: Time, passthroughAllowed: boolean): OpenContent | undefined {
    if (this.spares <= 0) return undefined;
    this.spares -= 1;
    const contentId = this.#nextContentId++ as ContentId;
    const file = new SimulatedContentFile(Buffer.alloc(0), mtime, this.#now);
    this.#disk.set(contentId, file);
    tx.putLocal(ino, { ...this.#localFile(contentId, file), dirty: true, version: tx.seq, generation: 1 });
    return this.#opened(ino, contentId, file, passthroughAllowed, { write: true });
  }

  async spareReady(): Promise<void> {
    this.spares = 1;
  }

  abandon(content: OpenContent): void {
    this.abandoned.push(content);
    this.#open.delete(content.ino);
    this.#disk.delete(content.contentId);
  }

  open(ino: Ino, intent: OpenIntent): OpenContent | Promise<OpenContent> {
    const open = this.#open.get(ino);
    const local = this.#metadata.local(ino);
    const file = open?.file ?? (local && this.#disk.get(local.contentId));
    if (file === undefined) return this.#fetch(ino, intent);
    if (intent.write) this.#makeDirty(ino, file);
    if (intent.truncate) {
      file.bytes = Buffer.alloc(0);
      file.mtime = this.#now();
    }
    if (open === undefined) return this.#opened(ino, local!.contentId, file, intent.passthroughAllowed, intent);
    if (intent.write) open.writers += 1;
    else open.readers += 1;
    return open;
  }

  opened(ino: Ino): SimulatedOpen | undefined {
    return this.#open.get(ino);
  }

  close(content: OpenContent, { write }: { readonly write: boolean }): void {
    const open = this.#open.get(content.ino);
    if (open === undefined || open !== content) throw new Error(`inode ${content.ino} is not open`);
    if (write) open.writers -= 1;
    else open.readers -= 1;
    if (open.writers < 0 || open.readers < 0) throw new Error(`inode ${content.ino} is closed more often than opened`);
    if (write && open.writers === 0 && !open.removed) {
      const { sizeBytes, mtime, diskBytes } = open.stat();
      this.#update(open.ino, (local) => ({ ...local, sizeBytes, mtime, diskBytes }));
    }
    if (open.writers + open.readers > 0) return;
    this.#open.delete(open.ino);
    if (open.removed) this.#collect(open.contentId);
  }

  setMtime(tx: MetadataTransaction, ino: Ino, mtime: Time): void {
    const local = tx.local(ino);
    if (local !== undefined) tx.putLocal(ino, { ...local, mtime, generation: local.generation + 1 });
    const file = this.#open.get(ino)?.file ?? (local && this.#disk.get(local.contentId));
    file?.setMtime(mtime.sec, mtime.nsec);
  }

  remove(tx: MetadataTransaction, ino: Ino): void {
    if (tx.content(ino) === undefined && tx.local(ino) === undefined)
      throw new Error("remove comes before deleteContent");
    const local = tx.local(ino);
    this.#volume.delete(ino);
    if (local === undefined) return;
    tx.deleteLocal(ino);
    tx.addGarbage(local.contentId);
    const open = this.#open.get(ino);
    if (open === undefined) this.#disk.delete(local.contentId);
    else open.removed = true;
  }

  beginUpload(): UploadSource | undefined {
    return undefined;
  }
  finishUpload(): void {}
  failUpload(): void {}
  onDirty(): void {}
  async syncLocal(): Promise<void> {}
  async reserve(): Promise<void> {}
  async hold(): Promise<void> {}
  onPressure(): void {}
  async stop(): Promise<void> {}
  async evictAll(): Promise<number> {
    return 0;
  }

  usage(): CacheUsage {
    return { usedBytes: 0, limitBytes: Number.MAX_SAFE_INTEGER, dirtyBytes: 0 };
  }

  /** What the publisher does in the end: the volume has these bytes, and the local image is a copy of them. */
  publish(ino: Ino): void {
    const local = this.#metadata.local(ino);
    if (local === undefined || !local.dirty || this.#metadata.inode(ino) === undefined) return;
    const file = this.#disk.get(local.contentId)!;
    const { bytes, mtime } = file;
    this.#volume.set(ino, Buffer.from(bytes));
    const open = this.#open.get(ino);
    this.#metadata.update((tx) => {
      tx.putContent(ino, { sizeBytes: bytes.length, mtime }, chunksOf(bytes));
      tx.putLocal(ino, { ...local, version: tx.seq, dirty: (open?.writers ?? 0) > 0 });
    });
  }

  async evict(ino: Ino): Promise<boolean> {
    const local = this.#metadata.local(ino);
    if (local === undefined || local.dirty || this.#open.has(ino)) return false;
    this.#metadata.update((tx) => tx.deleteLocal(ino));
    this.#disk.delete(local.contentId);
    return true;
  }

  /** Bytes of a file, wherever they are. */
  bytesOf(ino: Ino): Buffer {
    const local = this.#metadata.local(ino);
    const file = this.#open.get(ino)?.file ?? (local && this.#disk.get(local.contentId));
    return file?.bytes ?? this.#volume.get(ino) ?? Buffer.alloc(0);
  }

  /** The same cache directory as a process started after this one was killed finds it. */
  reopened(metadata: Metadata): SimulatedContentCache {
    const next = new SimulatedContentCache(metadata, this.#now);
    for (const [id, file] of this.#disk) next.#disk.set(id, file);
    for (const [ino, bytes] of this.#volume) next.#volume.set(ino, bytes);
    next.#nextContentId = this.#nextContentId;
    for (const [ino, local] of metadata.dirtyFiles()) {
      // Recovery takes size and time from the file, which was written after the record was.
      const { bytes, mtime } = next.#disk.get(local.contentId)!;
      metadata.update((tx) => tx.putLocal(ino, { ...local, sizeBytes: bytes.length, mtime }));
    }
    return next;
  }

  async #fetch(ino: Ino, intent: OpenIntent): Promise<OpenContent> {
    await new Promise(setImmediate);
    const content = this.#metadata.content(ino);
    if (content === undefined) throw new Error(`inode ${ino} is gone`);
    const contentId = this.#nextContentId++ as ContentId;
    const file = new SimulatedContentFile(Buffer.from(this.#volume.get(ino) ?? []), content.mtime, this.#now);
    this.#disk.set(contentId, file);
    this.#metadata.update((tx) => {
      tx.putLocal(ino, { ...this.#localFile(contentId, file), version: content.version });
    });
    return this.open(ino, intent);
  }

  #makeDirty(ino: Ino, file: SimulatedContentFile): void {
    const { dirty } = this.#metadata.local(ino) ?? { dirty: true };
    const content = this.#metadata.content(ino);
    // utimens on a clean file changes the volume's record only: from now on the file is the truth.
    if (!dirty && content !== undefined) file.mtime = content.mtime;
    this.#update(ino, (local) => ({
      ...local,
      dirty: true,
      generation: local.generation + 1,
      sizeBytes: local.dirty ? local.sizeBytes : file.bytes.length,
      mtime: local.dirty ? local.mtime : file.mtime,
    }));
  }

  #update(ino: Ino, change: (local: LocalFile) => LocalFile): void {
    this.#metadata.update((tx) => {
      const local = tx.local(ino);
      if (local !== undefined) tx.putLocal(ino, change(local));
    });
  }

  #opened(
    ino: Ino,
    contentId: ContentId,
    file: SimulatedContentFile,
    passthroughAllowed: boolean,
    intent: { readonly write: boolean },
  ): SimulatedOpen {
    const open: SimulatedOpen = {
      ino,
      contentId,
      file,
      mode: this.#passthrough && passthroughAllowed ? "passthrough" : "served",
      readers: intent.write ? 0 : 1,
      writers: intent.write ? 1 : 0,
      removed: false,
      stat: () => ({ sizeBytes: file.bytes.length, diskBytes: file.bytes.length, mtime: file.mtime }),
    };
    this.#open.set(ino, open);
    return open;
  }

  #collect(contentId: ContentId): void {
    this.#disk.delete(contentId);
    this.#metadata.update((tx) => tx.removeGarbage(contentId));
  }

  #localFile(contentId: ContentId, { bytes, mtime }: SimulatedContentFile): Omit<LocalFile, "version"> {
    const sizeBytes = bytes.length;
    const fixed = { dirtySinceMs: 0, trustEpoch: 0, lastUsedMs: 0, generation: 0 };
    return { ...fixed, contentId, dirty: false, complete: true, sizeBytes, mtime, diskBytes: sizeBytes };
  }
}

function chunksOf(bytes: Buffer): ChunkHash[] {
  const count = Math.ceil(bytes.length / CHUNK_SIZE_BYTES);
  return Array.from({ length: count }, (_, index) => {
    const chunk = bytes.subarray(index * CHUNK_SIZE_BYTES, (index + 1) * CHUNK_SIZE_BYTES);
    return createHash("sha256").update(chunk).digest("hex") as ChunkHash;
  });
}
