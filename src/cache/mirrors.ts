import { mkdir, rm, unlink } from "node:fs/promises";
import { type Clock, ignore } from "../base/index.js";
import type { PackNumber } from "../format/index.js";
import type { Metadata } from "../meta/index.js";
import type { Transfer } from "../transfer/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import { packIdOf } from "./placement.js";
import type { Room } from "./room.js";

/** One GET brings this much of a pack at most: a whole pack of small files. */
export const WINDOW_BYTES = 16 << 20;
/** A mirror that nobody took anything from for this long has done its work: its files are content files now. */
const IDLE_MS = 60_000;

interface Mirror {
  readonly path: string;
  /** By window number. A window that failed is taken out again. */
  readonly windows: Map<number, Promise<void>>;
  readonly releases: (() => void)[];
  bytes: number;
  lastUsedMs: number;
  users: number;
}

/**
 * Sparse local images of packs, in windows: the first miss of a small file brings its whole neighbourhood, and who asks
 * for the same window meanwhile shares the request. They are not kept over a restart, and go first when room is needed.
 */
export class Mirrors {
  readonly #directory: CacheDirectory;
  readonly #metadata: Metadata;
  readonly #transfer: Transfer;
  readonly #room: Room;
  readonly #clock: Clock;
  /** In order of use, oldest first. */
  readonly #mirrors = new Map<PackNumber, Mirror>();
  #serial = 0;

  constructor(tools: { directory: CacheDirectory; metadata: Metadata; transfer: Transfer; room: Room; clock: Clock }) {
    this.#directory = tools.directory;
    this.#metadata = tools.metadata;
    this.#transfer = tools.transfer;
    this.#room = tools.room;
    this.#clock = tools.clock;
  }

  /** Deletes what an earlier mount left. */
  async clear(): Promise<void> {
    await rm(this.#directory.mirrorRoot, { recursive: true, force: true });
    await mkdir(this.#directory.mirrorRoot, { mode: 0o700 });
  }

  /** Calls `use` with the path of a mirror that holds bytes [offset, end) of the pack, fetched if they are not there. */
  async with<T>(pack: PackNumber, offset: number, end: number, use: (path: string) => Promise<T>): Promise<T> {
    const mirror = this.#get(pack);
    mirror.users++;
    try {
      const first = Math.floor(offset / WINDOW_BYTES);
      const last = Math.floor((end - 1) / WINDOW_BYTES);
      const windows = Array.from({ length: last - first + 1 }, (_, i) => this.#window(pack, mirror, first + i));
      await Promise.all(windows);
      return await use(mirror.path);
    } finally {
      mirror.users--;
      mirror.lastUsedMs = this.#clock.monotonicMs();
    }
  }

  /** Deletes mirrors nobody is using, oldest first, until `bytes` are free. Returns how many are. */
  async free(bytes: number): Promise<number> {
    let freed = 0;
    for (const [pack, mirror] of this.#mirrors) {
      if (freed >= bytes) break;
      freed += await this.#delete(pack, mirror);
    }
    return freed;
  }

  /** Deletes those that have been idle for long. */
  async tidy(): Promise<void> {
    const before = this.#clock.monotonicMs() - IDLE_MS;
    for (const [pack, mirror] of this.#mirrors) if (mirror.lastUsedMs < before) await this.#delete(pack, mirror);
  }

  #get(pack: PackNumber): Mirror {
    const known = this.#mirrors.get(pack);
    this.#mirrors.delete(pack);
    const mirror = known ?? {
      // Never a name again that is still being deleted.
      path: this.#directory.mirrorPath(pack, this.#serial++),
      windows: new Map(),
      releases: [],
      bytes: 0,
      lastUsedMs: this.#clock.monotonicMs(),
      users: 0,
    };
    this.#mirrors.set(pack, mirror);
    return mirror;
  }

  #window(pack: PackNumber, mirror: Mirror, window: number): Promise<void> {
    let fetching = mirror.windows.get(window);
    if (fetching === undefined) {
      fetching = this.#fetch(pack, mirror, window);
      mirror.windows.set(window, fetching);
      fetching.catch(() => mirror.windows.delete(window));
    }
    return fetching;
  }

  async #fetch(pack: PackNumber, mirror: Mirror, window: number): Promise<void> {
    const offset = window * WINDOW_BYTES;
    const packSizeBytes = this.#metadata.pack(pack)?.sizeBytes ?? 0;
    const length = Math.min(WINDOW_BYTES, packSizeBytes - offset);
    const release = await this.#room.hold(length);
    try {
      const id = packIdOf(this.#metadata, pack);
      await this.#transfer.fetchWindow(id, offset, length, mirror.path, "urgent");
      mirror.releases.push(release);
      mirror.bytes += length;
    } catch (error) {
      release();
      throw error;
    }
  }

  async #delete(pack: PackNumber, mirror: Mirror): Promise<number> {
    if (mirror.users > 0) return 0;
    this.#mirrors.delete(pack);
    await unlink(mirror.path).catch(ignore);
    for (const release of mirror.releases) release();
    return mirror.bytes;
  }
}
