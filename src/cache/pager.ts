import { constants } from "node:os";
import { type ChunkHash, Deferred, type Ino } from "../base/index.js";
import { CHUNK_SIZE_BYTES } from "../format/index.js";
import type { Metadata } from "../meta/index.js";
import type { ContentFile, ContentFileEvents } from "../native/index.js";
import type { ChunkOutcome, Priority, Transfer } from "../transfer/index.js";
import { CacheError } from "./errors.js";
import { groupByPack, type PlacedChunk, packIdOf, placeChunk, targetOf } from "./placement.js";
import { type AheadRange, ReadAhead } from "./read-ahead.js";
import type { Room } from "./room.js";

/** Blocks fetched in one go, by one request: enough that its own cost is small, few enough that readers get them soon. */
const BLOCKS_PER_JOB = 8;
/** 128 MiB ahead of a reader: sixteen requests at once, which is what fills a link of 10 Gbit/s to an object store. */
const WINDOW_BLOCKS_MAX = 128;
const { EIO, ENOSPC } = constants.errno;

export interface PagerTools {
  readonly metadata: Metadata;
  readonly transfer: Transfer;
  readonly room: Room;
  /** One line for the log: something could not be had. */
  readonly onProblem: (message: string) => void;
  /** A fetch has ended, and has brought so many bytes to the disk. */
  readonly onFetched: (pager: Pager, bytes: number) => void;
}

/**
 * Brings the absent blocks of one content file: those somebody waits for at once, and others ahead of sequential
 * readers. The native file is the MMU, this is its pager. Nothing that is not verified is ever marked present.
 */
export class Pager implements ContentFileEvents {
  readonly ino: Ino;
  readonly #path: string;
  readonly #tools: PagerTools;
  readonly #readAhead = new ReadAhead({ windowMax: WINDOW_BLOCKS_MAX, step: BLOCKS_PER_JOB });
  #file: ContentFile | undefined;
  /** Once the inode is removed: its chunks, which the metadata knows no more. */
  #hashes: readonly (ChunkHash | null)[] | undefined;
  #jobs = 0;
  #idle: Deferred | undefined;

  constructor(ino: Ino, path: string, tools: PagerTools) {
    this.ino = ino;
    this.#path = path;
    this.#tools = tools;
  }

  /** The file this pager was given to as its events. */
  attach(file: ContentFile): void {
    this.#file = file;
  }

  /** Fetches are under way: the file must not go. */
  get busy(): boolean {
    return this.#jobs > 0;
  }

  /** Resolves when no fetch is under way. */
  async idle(): Promise<void> {
    if (this.#jobs === 0) return;
    this.#idle ??= new Deferred();
    await this.#idle.promise;
  }

  /** Keeps what absent blocks need, before the inode's records go. */
  keepHashes(): void {
    if (this.#file === undefined || this.#file.complete) return;
    const content = this.#tools.metadata.content(this.ino);
    const count = Math.ceil((content?.sizeBytes ?? 0) / CHUNK_SIZE_BYTES);
    this.#hashes ??= this.#tools.metadata.chunkHashes(this.ino, 0, count);
  }

  onMiss(first: number, count: number): void {
    this.#bring(first, count, "urgent");
    this.#ahead(this.#readAhead.missed(first, count));
  }

  onTrigger(block: number): void {
    this.#ahead(this.#readAhead.reached(block));
  }

  /** Brings blocks without anybody waiting in the file itself. */
  prefetch(blocks: readonly number[]): void {
    for (const block of blocks) this.#bring(block, 1, "urgent");
  }

  #ahead(range: AheadRange | undefined): void {
    if (range === undefined || this.#file === undefined) return;
    if (!this.#tools.room.fits(range.count * CHUNK_SIZE_BYTES)) return;
    this.#file.setTrigger(range.trigger);
    this.#bring(range.first, range.count, "normal");
  }

  #bring(first: number, count: number, priority: Priority): void {
    const file = this.#file;
    const claimed = file?.claim(first, count) ?? [];
    if (file === undefined || claimed.length === 0) return;
    try {
      const chunks = this.#place(file, claimed);
      for (const [pack, group] of groupByPack(chunks)) {
        const id = packIdOf(this.#tools.metadata, pack);
        for (let at = 0; at < group.length; at += BLOCKS_PER_JOB) {
          void this.#fetch(file, id, group.slice(at, at + BLOCKS_PER_JOB), priority);
        }
      }
    } catch (error) {
      this.#fail(file, claimed, EIO, error);
    }
  }

  /** Where the chunks of these blocks are. Blocks that are holes are there already: the file is sparse. */
  #place(file: ContentFile, blocks: readonly number[]): PlacedChunk[] {
    const { metadata } = this.#tools;
    const first = blocks[0] ?? 0;
    const count = (blocks.at(-1) ?? first) - first + 1;
    const hashes = this.#hashes?.slice(first, first + count) ?? metadata.chunkHashes(this.ino, first, count);
    const chunks: PlacedChunk[] = [];
    const holes: number[] = [];
    for (const block of blocks) {
      const hash = hashes[block - first] ?? null;
      if (hash === null) holes.push(block);
      else chunks.push(placeChunk(metadata, this.ino, block, hash));
    }
    for (const [start, length] of runsOf(holes)) file.fill(start, length);
    return chunks;
  }

  async #fetch(
    file: ContentFile,
    pack: Parameters<Transfer["fetchChunks"]>[0],
    chunks: readonly PlacedChunk[],
    priority: Priority,
  ): Promise<void> {
    const { room, transfer } = this.#tools;
    const blocks = chunks.map(({ index }) => index);
    const bytes = chunks.reduce((sum, { record }) => sum + record.rawLength, 0);
    this.#jobs++;
    let release: (() => void) | undefined;
    let written = 0;
    try {
      release = await room.hold(bytes);
      written = bytes;
      const targets = chunks.map((chunk) => targetOf(chunk, this.#path, CHUNK_SIZE_BYTES));
      const outcomes = await transfer.fetchChunks(pack, targets, priority);
      this.#settle(file, blocks, outcomes);
    } catch (error) {
      const errno = error instanceof CacheError && error.kind === "no-space" ? ENOSPC : EIO;
      this.#fail(file, blocks, errno, error);
    } finally {
      this.#jobs--;
      release?.();
      this.#tools.onFetched(this, written);
      if (this.#jobs === 0) {
        this.#idle?.resolve();
        this.#idle = undefined;
      }
    }
  }

  #settle(file: ContentFile, blocks: readonly number[], outcomes: readonly ChunkOutcome[]): void {
    const filled = blocks.filter((_, i) => outcomes[i] === undefined);
    for (const [start, length] of runsOf(filled)) file.fill(start, length);
    blocks.forEach((block, i) => {
      const outcome = outcomes[i];
      if (outcome !== undefined) this.#fail(file, [block], EIO, new Error(outcome.message));
    });
  }

  #fail(file: ContentFile, blocks: readonly number[], errno: number, error: unknown): void {
    for (const [start, length] of runsOf(blocks)) file.fail(start, length, errno);
    const reason = error instanceof Error ? error.message : String(error);
    this.#tools.onProblem(`inode ${this.ino}, chunks ${blocks.join(", ")}: ${reason}`);
  }
}

/** Ascending numbers as runs of [first, count]. */
export function* runsOf(numbers: readonly number[]): Iterable<readonly [first: number, count: number]> {
  let first: number | undefined;
  let count = 0;
  for (const number of numbers) {
    if (first !== undefined && number === first + count) {
      count++;
      continue;
    }
    if (first !== undefined) yield [first, count];
    first = number;
    count = 1;
  }
  if (first !== undefined) yield [first, count];
}
