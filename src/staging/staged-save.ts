import { constants } from "node:fs";
import { formatBytes, type Ino, type Name } from "../base/index.js";
import type { ContentCache } from "../cache/index.js";
import { type Caller, FsError } from "../fs/index.js";
import type { Metadata } from "../meta/index.js";
import type { StagedFile, StagingIo, StagingRing } from "../native/index.js";
import { Coverage } from "./coverage.js";
import { StagingError } from "./errors.js";
import { requirePermission } from "./permissions.js";
import type { ClientMessage } from "./protocol.js";
import { inoAt, type NamingFileSystem, type Place, UnnamedFile } from "./unnamed-file.js";

/** What O_DIRECT asks of offsets, of any disk. */
const ALIGNMENT_BYTES = 4096;
/**
 * Taken with the file and given back right before it is named: the metadata store may have to grow then, on a disk that others
 * have filled meanwhile.
 */
const NAMING_ROOM_BYTES = 1 << 20;

/** The kernel's memory of names and attributes, which does not hear of what did not come through it. */
export interface KernelMemory {
  invalidateInode(ino: Ino): void;
  invalidateEntry(parent: Ino, name: Name): void;
}

export interface SaveTools {
  readonly fileSystem: NamingFileSystem;
  readonly cache: Pick<ContentCache, "hold" | "syncLocal">;
  readonly metadata: Pick<Metadata, "sync">;
  readonly kernel: KernelMemory;
  readonly io: Pick<StagingIo, "open">;
  /** The user whose mount it is, and his groups: only he and root get at the socket. */
  readonly caller: Caller;
  readonly groups: readonly number[];
}

type BeginRequest = Extract<ClientMessage, { readonly type: "begin" }>;
export type Piece = Pick<Extract<ClientMessage, { readonly type: "write" }>, "slot" | "offset" | "length">;

/**
 * One file on its way from a ring to its name.
 *
 * It is written past the page cache into a content file that has no name yet: no copy, and no way through FUSE. Size, coverage
 * and room are settled before anybody can see it, so what gets a name is whole.
 *
 * Invariants: `#unnamed` is let go of exactly once, by its name or by {@link discard}; a piece counts in #coverage only
 * when nobody else has handed it in; #writing holds the requests that have not settled.
 */
export class StagedSave {
  readonly #tools: SaveTools;
  readonly #request: BeginRequest;
  readonly #place: Place;
  readonly #coverage: Coverage;
  readonly #writing = new Set<Promise<void>>();
  #unnamed: UnnamedFile | undefined;
  #file: StagedFile | undefined;
  #state: "beginning" | "open" | "committing" | "ended" = "beginning";

  constructor(tools: SaveTools, request: BeginRequest) {
    this.#tools = tools;
    this.#request = request;
    this.#place = { parent: request.parent as Ino, name: request.name as Name };
    this.#coverage = new Coverage(request.sizeBytes);
  }

  get place(): Place {
    return this.#place;
  }

  get sizeBytes(): number {
    return this.#request.sizeBytes;
  }

  /**
   * Makes the file, with all the room it takes. When it fails, or {@link discard} comes meanwhile, nothing is left.
   * @param lane see {@link StagingIo}
   */
  async begin(lane: number): Promise<void> {
    const { fileSystem, cache, caller, io } = this.#tools;
    const { sizeBytes, mode } = this.#request;
    try {
      this.#checkPlace();
      this.#unnamed = await UnnamedFile.make(fileSystem, caller, this.#place.parent, mode);
      await cache.hold(this.#unnamed.content, sizeBytes);
      this.#goOn("beginning");
      this.#file = await io.open(this.#unnamed.path, "write", lane);
      await this.#file.allocate(sizeBytes + NAMING_ROOM_BYTES);
      this.#goOn("beginning");
    } catch (error) {
      this.#letGo();
      throw error;
    }
    this.#state = "open";
  }

  /**
   * Resolves when the piece is in the file. The slot must not change until this has settled, however it does.
   * @param fill brings the bytes into the slot first
   */
  async write(ring: StagingRing, piece: Piece, fill: () => Promise<void> = nothing): Promise<void> {
    const file = this.#accept(piece);
    const writing = fill().then(() => file.write(ring, piece.slot, piece.offset, piece.length));
    this.#writing.add(writing);
    try {
      await writing;
    } finally {
      this.#writing.delete(writing);
    }
  }

  /**
   * Makes the file whole and gives it its name, when all pieces that were handed in have been written; resolves to its inode
   * when both are on the local disk. No piece may come any more. When it fails, nothing is left (unless it was the journal
   * that could not be synced, right at the end).
   */
  async commit(): Promise<Ino> {
    const { cache, metadata } = this.#tools;
    this.#goOn("open");
    this.#state = "committing";
    const { unnamed, file } = this.#opened();
    const { ino } = unnamed;
    try {
      await Promise.all(this.#writing);
      this.#requireWhole();
      await file.finish(this.sizeBytes);
      await cache.syncLocal(ino);
      this.#goOn("committing");
      this.#name(unnamed);
    } finally {
      this.#letGo();
    }
    await metadata.sync();
    return ino;
  }

  /** As if it had never been, unless it has its name: then it does nothing. */
  discard(): void {
    // Who is still beginning finds out, and lets go.
    if (this.#state === "beginning") this.#state = "ended";
    else this.#letGo();
  }

  #letGo(): void {
    this.#state = "ended";
    this.#file?.close();
    this.#file = undefined;
    this.#unnamed?.discard();
    this.#unnamed = undefined;
  }

  /** Refuses at once what would be refused at the commit, after all has been copied. */
  #checkPlace(): void {
    const { fileSystem, caller, groups } = this.#tools;
    const { parent } = this.#place;
    const existing = inoAt(fileSystem, this.#place);
    const directory = fileSystem.getAttributes(parent);
    const replaced = existing === undefined ? undefined : fileSystem.getAttributes(existing);
    requirePermission(caller, groups, directory, replaced);
    if (replaced === undefined) return;
    if (isDirectory(replaced.mode)) throw new FsError("is-directory", "the name is a directory's");
    if (!this.#request.replace) throw new FsError("exists", "the name exists");
  }

  #accept({ offset, length }: Piece): StagedFile {
    this.#goOn("open");
    const { sizeBytes } = this;
    const end = offset + length;
    const aligned = offset % ALIGNMENT_BYTES === 0 && (end % ALIGNMENT_BYTES === 0 || end === sizeBytes);
    if (length === 0 || end > sizeBytes || !aligned) {
      throw new StagingError(
        "protocol",
        `a piece of ${length} bytes at ${offset} is not one of a file of ${sizeBytes} bytes: it must be within, and begin ` +
          `and end at a multiple of ${ALIGNMENT_BYTES}, or at the end`,
      );
    }
    if (!this.#coverage.add(offset, end)) {
      throw new StagingError("protocol", `some of the ${length} bytes at ${offset} have been written before`);
    }
    return this.#opened().file;
  }

  #requireWhole(): void {
    const gap = this.#coverage.firstGap();
    if (gap === undefined) return;
    const missing = formatBytes(gap.end - gap.begin);
    throw new StagingError("protocol", `${missing} at ${gap.begin} of the file have not been written`);
  }

  /** In one turn of the event loop; the kernel hears of it right after. */
  #name(unnamed: UnnamedFile): void {
    const { kernel } = this.#tools;
    const { parent, name } = this.#place;
    const replaced = unnamed.name(this.#place, this.#request.replace ? "replace" : "no-replace");
    kernel.invalidateEntry(parent, name);
    kernel.invalidateInode(parent);
    if (replaced !== undefined) kernel.invalidateInode(replaced);
  }

  #opened(): { readonly unnamed: UnnamedFile; readonly file: StagedFile } {
    const unnamed = this.#unnamed;
    const file = this.#file;
    if (unnamed === undefined || file === undefined) throw new StagingError("protocol", "the save has ended");
    return { unnamed, file };
  }

  #goOn(state: "beginning" | "open" | "committing"): void {
    if (this.#state === state) return;
    const when =
      this.#state === "beginning" ? "has not begun" : this.#state === "committing" ? "is closed" : "has ended";
    throw new StagingError("protocol", `the save ${when}`);
  }
}

async function nothing(): Promise<void> {}

function isDirectory(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFDIR;
}
