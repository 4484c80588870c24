import { readFileSync } from "node:fs";
import { LRUCache } from "lru-cache";
import { type ContentId, type Ino, ignore } from "../base/index.js";
import type { OpenFile } from "./open-image.js";

const COUNT_MIN = 64;
const COUNT_MAX = 8192;
const COUNT_DEFAULT = 256;
/** Thousands of close(2) in one turn of the event loop would be felt. */
const CLOSED_AT_ONCE = 256;

/**
 * Content files that nobody has open, with their descriptors kept: to open them again costs no disk wait. Those whose
 * block map says what is dirty are kept until they are published, the others as long as there is room.
 */
export class RetainedFiles {
  readonly #recent: LRUCache<Ino, OpenFile>;
  readonly #kept = new Map<Ino, OpenFile>();
  readonly #closing = new Map<ContentId, Promise<void>>();

  constructor(countMax = retainedCountMax()) {
    this.#recent = new LRUCache<Ino, OpenFile>({
      max: countMax,
      dispose: (open, _ino, reason) => {
        if (reason === "evict") this.close(open);
      },
    });
  }

  /** @param keep Not to be closed before {@link take} or {@link release}. */
  retain(ino: Ino, open: OpenFile, keep: boolean): void {
    if (keep) this.#kept.set(ino, open);
    else this.#recent.set(ino, open);
  }

  get(ino: Ino): OpenFile | undefined {
    return this.#kept.get(ino) ?? this.#recent.peek(ino);
  }

  /** Hands the file over, if it is this content. One of another content is closed. */
  take(ino: Ino, contentId: ContentId): OpenFile | undefined {
    const open = this.get(ino);
    if (open === undefined) return undefined;
    this.#kept.delete(ino);
    this.#recent.delete(ino);
    if (open.contentId === contentId) return open;
    this.close(open);
    return undefined;
  }

  /** Closes what is retained of an inode, whatever it is. */
  drop(ino: Ino): void {
    const open = this.get(ino);
    this.#kept.delete(ino);
    this.#recent.delete(ino);
    if (open !== undefined) this.close(open);
  }

  /** A block map that is closed without a sync says nothing after a reboot: so those are synced first. */
  close(open: OpenFile): void {
    if (open.pager === undefined) {
      open.file.close();
      return;
    }
    const closing = open.pager
      .idle()
      .then(() => open.file.sync(true))
      .catch(ignore)
      .then(() => open.file.close())
      .finally(() => {
        if (this.#closing.get(open.contentId) === closing) this.#closing.delete(open.contentId);
      });
    this.#closing.set(open.contentId, closing);
  }

  /** Resolves when no block map of this content is being closed: two of one file would not know of each other. */
  async closed(contentId: ContentId): Promise<void> {
    await this.#closing.get(contentId);
  }

  async closeAll(): Promise<void> {
    const all = [...this.#kept.values(), ...this.#recent.values()];
    this.#kept.clear();
    this.#recent.clear();
    for (const [index, open] of all.entries()) {
      this.close(open);
      if (index % CLOSED_AT_ONCE === CLOSED_AT_ONCE - 1) await new Promise(setImmediate);
    }
    await Promise.all(this.#closing.values());
  }
}

/** A quarter of what the process may open: the rest is for handles, spares, sockets and the workers. */
function retainedCountMax(): number {
  let count = COUNT_DEFAULT;
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (limit !== undefined) count = Math.floor(Number(limit) / 4);
  } catch {
    // No /proc: the default.
  }
  return Math.min(Math.max(count, COUNT_MIN), COUNT_MAX);
}
