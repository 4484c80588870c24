import { unlink } from "node:fs/promises";
import { type Clock, type ContentId, type Ino, ignore } from "../base/index.js";
import { type ContentRecord, nowOf, type Time } from "../format/index.js";
import type { LocalFile, Metadata } from "../meta/index.js";
import type { Transfer } from "../transfer/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import type { ContentIds } from "./content-ids.js";
import type { Garbage } from "./garbage.js";
import type { Ledger } from "./ledger.js";
import { countOf, type ImageState, type ImageTime } from "./local-images.js";
import type { Mirrors } from "./mirrors.js";
import { type ContentFiles, mappedFile } from "./open-files.js";
import { type OpenFile, type OpenImage, statFile } from "./open-image.js";
import { Pager } from "./pager.js";
import type { Recency } from "./recency.js";
import type { RetainedFiles } from "./retained-files.js";
import type { Room } from "./room.js";
import type { Spares } from "./spares.js";

export interface CoreParts {
  readonly directory: CacheDirectory;
  readonly metadata: Metadata;
  readonly transfer: Transfer;
  readonly addon: ContentFiles;
  readonly clock: Clock;
  readonly ids: ContentIds;
  readonly garbage: Garbage;
  readonly spares: Spares;
  readonly ledger: Ledger;
  readonly room: Room;
  readonly mirrors: Mirrors;
  readonly retained: RetainedFiles;
  readonly recency: Recency;
  readonly trustEpoch: number;
  /** Others write the volume. */
  readonly follower: boolean;
  readonly onProblem: (message: string) => void;
}

/**
 * What the parts of the cache share: its files, who has them open, and the few rules all of them need.
 *
 * Invariant: an inode has at most one of an open image, an opening under way, and a retained file that is in use by
 * nobody; so whoever finds none of them may delete the content file.
 */
export class CacheCore {
  readonly parts: CoreParts;
  readonly images = new Map<Ino, OpenImage>();
  readonly opening = new Map<Ino, Promise<OpenImage>>();
  readonly #dirtyListeners: ((ino: Ino, event: "opened" | "closed") => void)[] = [];
  readonly #mapRemovals = new Map<ContentId, Promise<void>>();
  passthrough = false;
  /** The cache is nearly full: new writers must be ones that can be held. */
  pressed = false;

  constructor(parts: CoreParts) {
    this.parts = parts;
  }

  onDirty(listener: (ino: Ino, event: "opened" | "closed") => void): void {
    this.#dirtyListeners.push(listener);
  }

  tellDirty(ino: Ino, event: "opened" | "closed"): void {
    for (const listener of this.#dirtyListeners) listener(ino, event);
  }

  imageTime(): ImageTime {
    return { nowMs: this.parts.clock.nowMs(), trustEpoch: this.parts.trustEpoch };
  }

  now(): Time {
    return nowOf(this.parts.clock);
  }

  /** Whether the local image may be served: it holds newer bytes than the volume, or the same. */
  isUsable(local: LocalFile | undefined, content: ContentRecord): local is LocalFile {
    if (local === undefined) return false;
    return local.dirty || (local.version === content.version && local.trustEpoch >= this.parts.trustEpoch);
  }

  isPresent(ino: Ino, content: ContentRecord): boolean {
    return this.images.has(ino) || this.isUsable(this.parts.metadata.local(ino), content);
  }

  /** True while the image is what the records speak of. */
  isCurrent(image: OpenImage, local: LocalFile | undefined): local is LocalFile {
    return !image.removed && local?.contentId === image.contentId;
  }

  /**
   * Counts an open file as it is now.
   * @param state of the file just now, from a caller that has asked already
   */
  count(image: OpenImage, local = this.parts.metadata.local(image.ino), fetchedBytes = 0, state?: ImageState): void {
    const bytes = Math.max(image.heldBytes, diskBytesOf(image, image.counted.bytes + fetchedBytes, state));
    const dirty = this.isCurrent(image, local) && local.dirty;
    const counted = { bytes, dirtyBytes: dirty ? bytes : 0 };
    this.parts.ledger.move(image.ino, image.counted, counted);
    image.counted = counted;
  }

  /** Takes a content file that nobody has open off the disk. Its garbage record is committed. */
  discard(ino: Ino, local: LocalFile): void {
    const { retained, garbage, ledger } = this.parts;
    retained.drop(ino);
    garbage.add(local.contentId, ledger.discard(ino, countOf(local)));
  }

  /** A content file with its block map and its pager. Owns the descriptor. @throws CacheError local-io. */
  mapFile(ino: Ino, contentId: ContentId, fd: number): OpenFile & { readonly pager: Pager } {
    const { addon, directory, metadata, transfer, room, onProblem, follower } = this.parts;
    const onFetched = (pager: Pager, bytes: number): void => this.#fetched(pager, bytes);
    const tools = { metadata, transfer, room, onProblem, onFetched };
    const pager = new Pager(ino, directory.contentPath(contentId), tools);
    const file = mappedFile(addon, fd, directory.mapPath(contentId), pager);
    pager.attach(file);
    // The inode's records may become those of another version at any time.
    if (follower) pager.keepHashes();
    return { contentId, file, pager };
  }

  /** Deletes a map that says nothing any more: its file is recorded as complete. */
  removeMap(contentId: ContentId): Promise<void> {
    const removal = unlink(this.parts.directory.mapPath(contentId))
      .catch(ignore)
      .finally(() => this.#mapRemovals.delete(contentId));
    this.#mapRemovals.set(contentId, removal);
    return removal;
  }

  /** Resolves when no earlier {@link removeMap} can hit a map that is made now. */
  async mapRemoved(contentId: ContentId): Promise<void> {
    await this.#mapRemovals.get(contentId);
  }

  /**
   * A file with a block map that nobody has open: kept while the map says what is dirty; without the map once it is
   * complete and clean, so that the next open is passthrough.
   */
  settleClosed(ino: Ino, local: LocalFile): void {
    const { metadata, retained } = this.parts;
    const open = retained.get(ino);
    if (open?.pager === undefined || open.contentId !== local.contentId) return;
    retained.take(ino, local.contentId);
    if (local.dirty || !open.file.complete || open.pager.busy) {
      retained.retain(ino, open, local.dirty);
      return;
    }
    metadata.update((tx) => tx.putLocal(ino, { ...local, complete: true }));
    open.file.close();
    void this.removeMap(local.contentId);
  }

  #fetched(pager: Pager, bytes: number): void {
    const { metadata, retained, ledger } = this.parts;
    const { ino } = pager;
    const image = this.images.get(ino);
    if (image?.pager === pager) {
      this.count(image, metadata.local(ino), bytes);
      return;
    }
    // Read-ahead that arrived after the last close.
    const open = retained.get(ino);
    const local = metadata.local(ino);
    if (open?.pager !== pager || local?.contentId !== open.contentId) return;
    const after = { ...local, diskBytes: diskBytesOf(open, local.diskBytes + bytes) };
    metadata.update((tx) => tx.putLocal(ino, after));
    ledger.move(ino, countOf(local), countOf(after));
    this.settleClosed(ino, after);
  }
}

/** While fetches write into a file, what they have written is held for them already: it must not count twice. */
function diskBytesOf({ file, pager }: OpenFile, known: number, state?: ImageState): number {
  return pager?.busy ? known : (state ?? statFile(file)).diskBytes;
}
