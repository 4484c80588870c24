import { close, ftruncate } from "node:fs";
import { readFile, unlink } from "node:fs/promises";
import { promisify } from "node:util";
import { type ContentId, type Ino, ignore } from "../base/index.js";
import { CHUNK_SIZE_BYTES, type ContentRecord, isSameTime } from "../format/index.js";
import type { LocalFile } from "../meta/index.js";
import type { OpenIntent } from "./content-cache.js";
import type { CacheCore } from "./core.js";
import { CacheError, fetchError } from "./errors.js";
import { cleanCopy, closedByWriter, countOf, emptyDirty, isOpenForWriting, openedForWriting } from "./local-images.js";
import { completeFile, localError, openDescriptor } from "./open-files.js";
import { type OpenFile, OpenImage, statFile } from "./open-image.js";
import { SMALL_FILE_BYTES_MAX, type SmallFiles } from "./small-files.js";

/** An existing file above this size that is opened for writing gets a block map, so that only what is written is hashed. */
const TRACKED_FILE_BYTES_MIN = 64 << 20;
/** A file that keeps changing under its fetches is given up on. */
const ATTEMPTS_MAX = 5;

const resize = promisify(ftruncate);

/** Gets content files open: at once where memory suffices, else with whatever disk and network it takes. */
export class Opener {
  readonly #core: CacheCore;
  readonly #smallFiles: SmallFiles;

  constructor(core: CacheCore, smallFiles: SmallFiles) {
    this.#core = core;
    this.#smallFiles = smallFiles;
  }

  /** A memory operation. Undefined when {@link later} is needed. @throws CacheError gone. */
  now(ino: Ino, intent: OpenIntent): OpenImage | undefined {
    const { metadata, retained } = this.#core.parts;
    const content = this.#contentOf(ino);
    const local = metadata.local(ino);
    if (wantsNothing(intent, content, this.#core.isUsable(local, content))) {
      return this.#fresh(ino, content, local, intent);
    }
    if (!this.#core.isUsable(local, content) || wantsTracking(local, content, intent)) return undefined;
    const open = retained.take(ino, local.contentId) ?? this.#reopen(local, content);
    return open && this.#admit(ino, open, local, intent);
  }

  /**
   * A complete file that is not retained any more, opened without a disk: while more files than are retained are read in
   * turn (an import of many modules, an epoch of small samples), none of them is, and all are in the kernel's memory.
   */
  #reopen(local: LocalFile, content: ContentRecord): OpenFile | undefined {
    const { addon, directory } = this.#core.parts;
    if (!local.complete) return undefined;
    const { contentId } = local;
    const fd = addon.openCached(directory.contentPath(contentId));
    if (fd < 0) return undefined;
    const open = { contentId, file: completeFile(addon, fd), pager: undefined };
    if (local.dirty || statFile(open.file).sizeBytes === content.sizeBytes) return open;
    // What is wrong with it is for later() to find out.
    this.#core.parts.retained.close(open);
    return undefined;
  }

  /** @throws CacheError. */
  async later(ino: Ino, intent: OpenIntent): Promise<OpenImage> {
    const { metadata, spares } = this.#core.parts;
    for (let attempts = 0; attempts < ATTEMPTS_MAX; ) {
      const image = this.now(ino, intent);
      if (image !== undefined) return image;
      const content = this.#contentOf(ino);
      const local = metadata.local(ino);
      if (wantsNothing(intent, content, this.#core.isUsable(local, content))) {
        // As often as it takes: many may wait for the same spares.
        await spares.ready();
        continue;
      }
      attempts++;
      if (this.#core.isUsable(local, content)) {
        const opened = await this.#openLocal(ino, local, content, intent);
        if (opened !== undefined) return opened;
      } else if (content.sizeBytes <= SMALL_FILE_BYTES_MAX) {
        await this.#smallFiles.fetch(ino, content).catch((error: unknown) => {
          throw fetchError(error);
        });
      } else {
        const opened = await this.#openSparse(ino, content, intent);
        if (opened !== undefined) return opened;
      }
    }
    throw new CacheError("fetch-failed", `inode ${ino} kept changing while it was being opened`, { retryable: true });
  }

  /** One reader or writer more. The first writer makes the file dirty. */
  join(image: OpenImage, intent: OpenIntent): void {
    if (!intent.write) {
      image.readers++;
      return;
    }
    image.writers++;
    if (image.writers === 1) this.#beginWriting(image);
  }

  #contentOf(ino: Ino): ContentRecord {
    const content = this.#core.parts.metadata.content(ino);
    if (content === undefined) throw new CacheError("gone", `inode ${ino} has been removed`);
    return content;
  }

  /** Empty content in a spare file: for what is truncated, and for what is empty in the volume. */
  #fresh(ino: Ino, content: ContentRecord, old: LocalFile | undefined, intent: OpenIntent): OpenImage | undefined {
    const core = this.#core;
    const { metadata, spares } = core.parts;
    const spare = spares.take();
    if (spare === undefined) return undefined;
    const { contentId, file } = spare;
    const time = core.imageTime();
    let local = cleanCopy(time, { contentId, content, complete: true, diskBytes: 0 });
    if (intent.truncate) {
      const mtime = core.now();
      const generation = old?.generation ?? 0;
      local = emptyDirty(time, { contentId, version: content.version, mtime, generation });
      file.setMtime(mtime.sec, mtime.nsec);
      // O_RDONLY | O_TRUNC: changed, and closed already as far as writers go.
      if (!intent.write) local = closedByWriter(local, { sizeBytes: 0, diskBytes: 0, mtime }, true, time.nowMs);
    }
    metadata.update((tx) => {
      if (old !== undefined) tx.addGarbage(old.contentId);
      tx.removeGarbage(contentId);
      tx.putLocal(ino, local);
    });
    if (old !== undefined) core.discard(ino, old);
    const image = this.#admit(ino, { contentId, file, pager: undefined }, local, intent);
    if (local.dirty && !intent.write) core.tellDirty(ino, "closed");
    return image;
  }

  #admit(ino: Ino, open: OpenFile, local: LocalFile, intent: OpenIntent): OpenImage {
    const core = this.#core;
    const free = open.pager === undefined && core.passthrough && intent.passthroughAllowed;
    const image = new OpenImage(ino, open, free && !(intent.write && core.pressed) ? "passthrough" : "served");
    image.counted = countOf(local);
    core.images.set(ino, image);
    this.join(image, intent);
    return image;
  }

  #beginWriting(image: OpenImage): void {
    const core = this.#core;
    const { metadata } = core.parts;
    const { ino, file } = image;
    const local = metadata.local(ino);
    if (!core.isCurrent(image, local)) return;
    const before = image.stat();
    const mtime = local.dirty ? local.mtime : (metadata.content(ino)?.mtime ?? local.mtime);
    // From here on the file itself says what its times are; so far it only knew when it was fetched.
    if (!isSameTime(before.mtime, mtime)) file.setMtime(mtime.sec, mtime.nsec);
    image.untouched = local.dirty ? undefined : { sizeBytes: before.sizeBytes, mtime };
    const dirty = openedForWriting(local, core.parts.clock.nowMs());
    // What O_TRUNC made is recorded as open for writing already.
    if (!isOpenForWriting(local.generation)) metadata.update((tx) => tx.putLocal(ino, dirty));
    core.count(image, dirty);
    core.tellDirty(ino, "opened");
  }

  /** Undefined when the image turned out to be unusable, or is another one now: look again. */
  async #openLocal(
    ino: Ino,
    local: LocalFile,
    content: ContentRecord,
    intent: OpenIntent,
  ): Promise<OpenImage | undefined> {
    const { directory, metadata, retained } = this.#core.parts;
    const { contentId } = local;
    const tracking = wantsTracking(local, content, intent);
    if (tracking) retained.drop(ino);
    const path = directory.contentPath(contentId);
    const fd = await openDescriptor(path, "existing").catch((error: unknown) => {
      if (metadata.local(ino)?.contentId !== contentId) return undefined;
      if (local.dirty) throw error;
      this.#distrust(ino, local, "cannot be opened");
      return undefined;
    });
    if (fd === undefined) return undefined;
    const open = await this.#wrap(ino, local, fd, tracking);
    const current = metadata.local(ino);
    const sizeBytes = statFile(open.file).sizeBytes;
    const damaged = !local.dirty && sizeBytes !== content.sizeBytes;
    if (damaged) this.#distrust(ino, local, `has ${sizeBytes} bytes instead of ${content.sizeBytes}`);
    if (damaged || current?.contentId !== contentId) {
      retained.close(open);
      return undefined;
    }
    let after = current;
    if (tracking) {
      after = { ...current, complete: false };
      metadata.update((tx) => tx.putLocal(ino, after));
    }
    return this.#admit(ino, open, after, intent);
  }

  async #wrap(ino: Ino, local: LocalFile, fd: number, tracking: boolean): Promise<OpenFile> {
    const { addon, directory } = this.#core.parts;
    const { contentId } = local;
    if (local.complete && !tracking) return { contentId, file: completeFile(addon, fd), pager: undefined };
    const mapPath = directory.mapPath(contentId);
    await this.#core.parts.retained.closed(contentId);
    if (tracking) {
      await this.#core.mapRemoved(contentId);
      await unlink(mapPath).catch(ignore);
    } else {
      // Into the page cache, off this thread: opening the map below then waits for no disk.
      await readFile(mapPath).catch(ignore);
    }
    const { file, pager } = this.#core.mapFile(ino, contentId, fd);
    if (tracking) {
      const count = Math.ceil(statFile(file).sizeBytes / CHUNK_SIZE_BYTES);
      file.claim(0, count);
      file.fill(0, count);
    }
    return { contentId, file, pager };
  }

  /** A clean image that is not what it should be: somebody else was at the cache directory. */
  #distrust(ino: Ino, local: LocalFile, why: string): void {
    const { metadata, directory, onProblem } = this.#core.parts;
    onProblem(`${directory.contentPath(local.contentId)} ${why}: it is fetched again`);
    metadata.update((tx) => {
      if (tx.local(ino)?.contentId !== local.contentId) return;
      tx.deleteLocal(ino);
      tx.addGarbage(local.contentId);
    });
    this.#core.discard(ino, local);
  }

  /** A large file that is not here: opened at once, its blocks come as they are read. */
  async #openSparse(ino: Ino, content: ContentRecord, intent: OpenIntent): Promise<OpenImage | undefined> {
    const core = this.#core;
    const { directory, ids, metadata, garbage } = core.parts;
    const [contentId = ids.next] = ids.reserve(1);
    const open = await this.#makeSparse(ino, contentId, content.sizeBytes).catch((error: unknown) => {
      garbage.add(contentId);
      throw localError(`cannot make ${directory.contentPath(contentId)}`, error);
    });
    const current = metadata.content(ino);
    if (current?.version !== content.version || core.isPresent(ino, current)) {
      open.file.close();
      garbage.add(contentId);
      return undefined;
    }
    const old = metadata.local(ino);
    const local = cleanCopy(core.imageTime(), { contentId, content, complete: false, diskBytes: 0 });
    metadata.update((tx) => {
      if (old !== undefined) tx.addGarbage(old.contentId);
      tx.removeGarbage(contentId);
      tx.putLocal(ino, local);
    });
    if (old !== undefined) core.discard(ino, old);
    return this.#admit(ino, open, local, intent);
  }

  async #makeSparse(ino: Ino, contentId: ContentId, sizeBytes: number): Promise<OpenFile> {
    const { directory } = this.#core.parts;
    const fd = await openDescriptor(directory.contentPath(contentId), "new");
    await resize(fd, sizeBytes).catch((error: unknown) => {
      close(fd);
      throw error;
    });
    return this.#core.mapFile(ino, contentId, fd);
  }
}

/** The old bytes are not wanted, or there are none. */
function wantsNothing(intent: OpenIntent, content: ContentRecord, usable: boolean): boolean {
  return intent.truncate || (!usable && content.sizeBytes === 0);
}

function wantsTracking(local: LocalFile, content: ContentRecord, intent: OpenIntent): boolean {
  return intent.write && local.complete && !local.dirty && content.sizeBytes >= TRACKED_FILE_BYTES_MIN;
}
