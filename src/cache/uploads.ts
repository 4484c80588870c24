import type { ContentId, Ino, OpSeq } from "../base/index.js";
import { CHUNK_SIZE_BYTES } from "../format/index.js";
import type { LocalFile, MetadataTransaction } from "../meta/index.js";
import type { ContentFile } from "../native/index.js";
import type { UploadSource } from "./content-cache.js";
import type { CacheCore } from "./core.js";
import { CacheError } from "./errors.js";
import { countOf, isOpenForWriting } from "./local-images.js";
import type { OpenFile } from "./open-image.js";

interface Upload {
  readonly ino: Ino;
  readonly contentId: ContentId;
  /** There when the blocks of the file are tracked. */
  readonly tracked: ContentFile | undefined;
  readonly beganMs: number;
  /** Set by {@link Uploads.finish}: the version that is being committed. */
  version: OpSeq | undefined;
}

/** Uploads under way, as the cache sees them: what they read must stay, and what they have read becomes clean. */
export class Uploads {
  readonly #core: CacheCore;
  readonly #uploads = new Map<Ino, Upload>();

  constructor(core: CacheCore) {
    this.#core = core;
  }

  begin(ino: Ino): UploadSource | undefined {
    const { metadata, directory, garbage, clock, retained } = this.#core.parts;
    const earlier = this.#uploads.get(ino);
    if (earlier !== undefined) this.#settle(earlier);
    const local = metadata.local(ino);
    const content = metadata.content(ino);
    if (local === undefined || content === undefined || !local.dirty) return undefined;
    const image = this.#core.images.get(ino);
    const isOpen = image !== undefined && this.#core.isCurrent(image, local);
    const { sizeBytes, mtime } = isOpen && image.writers > 0 ? image.stat() : local;
    const open = isOpen ? image : retained.get(ino);
    const chunks = local.complete ? ("all" as const) : this.#changed(ino, open, content.sizeBytes, sizeBytes);
    const { contentId, generation, version: baseVersion } = local;
    const tracked = local.complete ? undefined : open?.file;
    garbage.pin(contentId);
    this.#uploads.set(ino, { ino, contentId, tracked, beganMs: clock.nowMs(), version: undefined });
    return { path: directory.contentPath(contentId), sizeBytes, mtime, chunks, baseVersion, generation };
  }

  finish(tx: MetadataTransaction, ino: Ino, source: UploadSource, version: OpSeq): void {
    const upload = this.#uploads.get(ino);
    if (upload === undefined) return;
    upload.version = version;
    const local = tx.local(ino);
    if (local?.contentId === upload.contentId) {
      const current = local.generation === source.generation && !isOpenForWriting(local.generation);
      const dirty = local.dirty && !current;
      tx.putLocal(ino, { ...local, version, dirty, dirtySinceMs: dirty ? upload.beganMs : 0 });
    }
    // The transaction may still fail; whether it did is seen when it is over.
    setImmediate(() => {
      if (this.#uploads.get(ino) === upload) this.#settle(upload);
    });
  }

  fail(ino: Ino): void {
    const upload = this.#uploads.get(ino);
    if (upload === undefined) return;
    upload.version = undefined;
    this.#settle(upload);
  }

  /** Lets go of files that were removed while they were uploaded, when nobody has said how that ended. */
  tidy(olderThanMs: number): void {
    for (const upload of this.#uploads.values()) {
      const removed = this.#core.parts.metadata.local(upload.ino)?.contentId !== upload.contentId;
      if (removed && upload.beganMs < olderThanMs) this.fail(upload.ino);
    }
  }

  /** Chunks of a tracked file that may differ from its base. */
  #changed(ino: Ino, open: OpenFile | undefined, baseBytes: number, sizeBytes: number): readonly number[] {
    if (open?.pager === undefined) {
      throw new CacheError("local-io", `the block map of inode ${ino} is not open`, { retryable: true });
    }
    const { file, pager } = open;
    const chunks = new Set(file.beginPublish());
    const count = Math.ceil(sizeBytes / CHUNK_SIZE_BYTES);
    // The last chunk of the shorter one got longer or shorter; what is behind it is new.
    const firstMoved = Math.floor(Math.min(baseBytes, sizeBytes) / CHUNK_SIZE_BYTES);
    if (sizeBytes !== baseBytes) for (let chunk = firstMoved; chunk < count; chunk++) chunks.add(chunk);
    const list = [...chunks].filter((chunk) => chunk < count).sort((a, b) => a - b);
    const absent = list.filter((chunk) => !file.has(chunk));
    if (absent.length === 0) return list;
    file.endPublish(false);
    pager.prefetch(absent);
    throw new CacheError("fetch-failed", `chunks of inode ${ino} are fetched before they can be hashed again`, {
      retryable: true,
    });
  }

  /** After the transaction: `version` is what it was to commit, or undefined when it failed before. */
  #settle(upload: Upload): void {
    const { metadata, garbage } = this.#core.parts;
    const { ino, contentId, tracked, version } = upload;
    this.#uploads.delete(ino);
    const local = metadata.local(ino);
    const isCurrent = local?.contentId === contentId;
    const published = isCurrent && version !== undefined && local.version === version;
    try {
      tracked?.endPublish(published);
    } catch {
      // Closed meanwhile: its blocks stay dirty in the map, and are hashed again.
    }
    garbage.unpin(contentId);
    if (published) this.#published(ino, local);
  }

  #published(ino: Ino, local: LocalFile): void {
    const image = this.#core.images.get(ino);
    if (image !== undefined) this.#core.count(image, local);
    else {
      // Counted as dirty until now.
      const { bytes } = countOf(local);
      this.#core.parts.ledger.move(ino, { bytes, dirtyBytes: bytes }, countOf(local));
      this.#core.settleClosed(ino, local);
    }
  }
}
