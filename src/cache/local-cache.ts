import { type Ino, type OpSeq, syncPath } from "../base/index.js";
import { isSameTime, type Time } from "../format/index.js";
import type { LocalFile, MetadataTransaction } from "../meta/index.js";
import type { CacheUsage, ContentCache, OpenContent, OpenIntent, UploadSource } from "./content-cache.js";
import type { CacheCore } from "./core.js";
import { CacheError } from "./errors.js";
import type { Evictor } from "./evictor.js";
import { closedByWriter, countOf, emptyDirty } from "./local-images.js";
import { OpenImage } from "./open-image.js";
import type { Opener } from "./opener.js";
import { endTrust } from "./trust.js";
import type { Upkeep } from "./upkeep.js";
import type { Uploads } from "./uploads.js";

export interface LocalCacheParts {
  readonly core: CacheCore;
  readonly opener: Opener;
  readonly uploads: Uploads;
  readonly evictor: Evictor;
  readonly upkeep: Upkeep;
  /** Ends what runs in the background. */
  readonly stopBackground: () => Promise<void>;
}

/** {@link ContentCache} in a directory of the local disk. Made by {@link openContentCache}. */
export class LocalCache implements ContentCache {
  readonly #core: CacheCore;
  readonly #parts: LocalCacheParts;
  #stopping = false;

  constructor(parts: LocalCacheParts) {
    this.#core = parts.core;
    this.#parts = parts;
  }

  setPassthrough(available: boolean): void {
    this.#core.passthrough = available;
  }

  create(tx: MetadataTransaction, ino: Ino, mtime: Time, passthroughAllowed: boolean): OpenContent | undefined {
    const core = this.#core;
    const spare = core.parts.spares.take();
    if (spare === undefined) return undefined;
    const { contentId, file } = spare;
    file.setMtime(mtime.sec, mtime.nsec);
    tx.removeGarbage(contentId);
    tx.putLocal(ino, emptyDirty(core.imageTime(), { contentId, version: tx.seq, mtime, generation: 0 }));
    const passthrough = core.passthrough && passthroughAllowed && !core.pressed;
    const image = new OpenImage(ino, { contentId, file, pager: undefined }, passthrough ? "passthrough" : "served");
    image.writers = 1;
    core.images.set(ino, image);
    core.tellDirty(ino, "opened");
    return image;
  }

  spareReady(): Promise<void> {
    return this.#core.parts.spares.ready();
  }

  abandon(content: OpenContent): void {
    if (this.#core.images.get(content.ino) === content) this.#core.images.delete(content.ino);
    this.#core.tellDirty(content.ino, "closed");
    this.#core.parts.spares.giveBack({ contentId: content.contentId, file: content.file });
  }

  open(ino: Ino, intent: OpenIntent): OpenContent | Promise<OpenContent> {
    if (this.#stopping) throw new CacheError("closed", "the mount is being ended");
    const core = this.#core;
    const image = core.images.get(ino);
    if (image !== undefined) return this.#join(image, intent);
    const under = core.opening.get(ino);
    if (under !== undefined) return under.then(() => this.open(ino, intent));
    const ready = this.#parts.opener.now(ino, intent);
    if (ready !== undefined) return ready;
    const opening = this.#parts.opener.later(ino, intent).finally(() => core.opening.delete(ino));
    core.opening.set(ino, opening);
    return opening;
  }

  opened(ino: Ino): OpenContent | undefined {
    return this.#core.images.get(ino);
  }

  close(content: OpenContent, intent: { readonly write: boolean }): void {
    const image = this.#core.images.get(content.ino);
    if (image === undefined || image !== content) return;
    if (intent.write) image.writers--;
    else image.readers--;
    const settled = intent.write && image.writers === 0 ? this.#lastWriterGone(image) : undefined;
    if (image.readers + image.writers === 0) this.#lastHandleGone(image, settled);
  }

  setMtime(tx: MetadataTransaction, ino: Ino, mtime: Time): void {
    const local = tx.local(ino);
    const image = this.#core.images.get(ino);
    if (image !== undefined && image.writers > 0) {
      image.file.setMtime(mtime.sec, mtime.nsec);
      // Whoever sets times after writing must not make it look as if nothing had been written.
      image.untouched = undefined;
    }
    // Odd stays odd and even even, but an upload under way sees that it is out of date.
    if (local?.dirty) tx.putLocal(ino, { ...local, mtime, generation: local.generation + 2 });
  }

  remove(tx: MetadataTransaction, ino: Ino): void {
    const core = this.#core;
    const local = tx.local(ino);
    if (local === undefined) return;
    const image = core.images.get(ino);
    const isOpen = image?.contentId === local.contentId;
    if (isOpen) image.pager?.keepHashes();
    tx.deleteLocal(ino);
    tx.addGarbage(local.contentId);
    // Whether the operation was committed is seen when it is over.
    setImmediate(() => {
      if (core.parts.metadata.local(ino)?.contentId === local.contentId) return;
      if (!isOpen) core.discard(ino, local);
      // What has been closed since has been seen to.
      else if (core.images.get(ino) === image) {
        image.removed = true;
        core.count(image, undefined);
      }
    });
  }

  beginUpload(ino: Ino): UploadSource | undefined {
    return this.#parts.uploads.begin(ino);
  }

  finishUpload(tx: MetadataTransaction, ino: Ino, source: UploadSource, version: OpSeq): void {
    this.#parts.uploads.finish(tx, ino, source, version);
  }

  failUpload(ino: Ino, _source: UploadSource): void {
    this.#parts.uploads.fail(ino);
  }

  onDirty(listener: (ino: Ino, event: "opened" | "closed") => void): void {
    this.#core.onDirty(listener);
  }

  onPressure(listener: (full: boolean) => void): void {
    this.#parts.upkeep.onPressure(listener);
  }

  async syncLocal(ino: Ino): Promise<void> {
    const { metadata, directory, retained } = this.#core.parts;
    const local = metadata.local(ino);
    if (local === undefined) return;
    const open = this.#core.images.get(ino) ?? retained.get(ino);
    if (open?.contentId === local.contentId) await open.file.sync(false);
    else await syncPath(directory.contentPath(local.contentId));
    // A new file's name is a change of its directory.
    await syncPath(directory.contentDirectory(local.contentId));
  }

  reserve(bytes: number): Promise<void> {
    return this.#core.parts.room.reserve(bytes);
  }

  async hold(content: OpenContent, sizeBytes: number): Promise<void> {
    const core = this.#core;
    const release = await core.parts.room.holdNow(sizeBytes);
    const image = core.images.get(content.ino);
    if (image !== undefined && image === content && image.writers > 0) {
      image.heldBytes = sizeBytes;
      core.count(image);
    }
    // From here on the file itself counts.
    release();
  }

  evict(ino: Ino): Promise<boolean> {
    return this.#parts.evictor.evict(ino);
  }

  evictAll(): Promise<number> {
    return this.#parts.evictor.free(() => Number.POSITIVE_INFINITY);
  }

  /** Deletes the pack mirrors nobody is using: they would give back without a request what was just evicted. */
  evictMirrors(): Promise<number> {
    return this.#core.parts.mirrors.free(Number.POSITIVE_INFINITY);
  }

  usage(): CacheUsage {
    const { ledger, room } = this.#core.parts;
    return { usedBytes: ledger.usedBytes, limitBytes: room.limits.limitBytes, dirtyBytes: ledger.dirtyBytes };
  }

  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const { parts, images, opening } = this.#core;
    this.#parts.upkeep.stop();
    parts.room.stop();
    await Promise.allSettled(opening.values());
    for (const image of images.values()) this.#abandonOpen(image);
    await parts.spares.close();
    await parts.retained.closeAll();
    await this.#parts.stopBackground();
    await parts.garbage.idle();
    parts.recency.flush();
    await endTrust(parts.metadata, parts.directory.path, parts.ledger.files);
  }

  /** At the end: what is still open counts as it is now. */
  #abandonOpen(image: OpenImage): void {
    const { metadata, retained } = this.#core.parts;
    const local = metadata.local(image.ino);
    this.#core.count(image, local);
    const diskBytes = image.counted.bytes;
    if (this.#core.isCurrent(image, local)) metadata.update((tx) => tx.putLocal(image.ino, { ...local, diskBytes }));
    retained.close(image);
  }

  #join(image: OpenImage, intent: OpenIntent): OpenContent | Promise<OpenContent> {
    this.#parts.opener.join(image, intent);
    if (!intent.truncate) return image;
    return image.file.truncate(0).then(
      () => image,
      (error: unknown) => {
        this.close(image, intent);
        throw error;
      },
    );
  }

  /** Returns the image's record as it is now, counted; undefined when it is no longer the inode's. */
  #lastWriterGone(image: OpenImage): LocalFile | undefined {
    const core = this.#core;
    const { metadata } = core.parts;
    const { ino, untouched } = image;
    image.heldBytes = 0;
    const local = metadata.local(ino);
    let closed: LocalFile | undefined;
    if (core.isCurrent(image, local)) {
      const state = image.stat();
      const same = state.sizeBytes === untouched?.sizeBytes && isSameTime(state.mtime, untouched.mtime);
      const after = closedByWriter(local, state, !same, core.parts.clock.nowMs());
      metadata.update((tx) => tx.putLocal(ino, after));
      core.count(image, after, 0, state);
      closed = after;
    }
    image.untouched = undefined;
    core.tellDirty(ino, "closed");
    return closed;
  }

  /** @param settled what {@link #lastWriterGone} has just recorded, if it has */
  #lastHandleGone(image: OpenImage, settled: LocalFile | undefined): void {
    const core = this.#core;
    const { metadata, retained, garbage, ledger, recency } = core.parts;
    const { ino, contentId } = image;
    core.images.delete(ino);
    const local = settled ?? metadata.local(ino);
    if (!core.isCurrent(image, local)) {
      retained.close(image);
      garbage.add(contentId, ledger.discard(ino, image.counted));
      return;
    }
    if (settled === undefined) core.count(image, local);
    const diskBytes = image.counted.bytes;
    let after = local;
    if (diskBytes !== local.diskBytes) {
      after = { ...local, diskBytes };
      metadata.update((tx) => tx.putLocal(ino, after));
    }
    ledger.move(ino, image.counted, countOf(after));
    // A writer's close has recorded it.
    if (settled === undefined) recency.touch(ino);
    const { file, pager } = image;
    retained.retain(ino, { contentId, file, pager }, pager !== undefined && after.dirty);
    core.settleClosed(ino, after);
  }
}
