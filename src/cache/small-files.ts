import { constants, open } from "node:fs/promises";
import { type ContentId, type Ino, ignore } from "../base/index.js";
import { CHUNK_SIZE_BYTES, type ContentRecord, type PackNumber } from "../format/index.js";
import type { LocalFile, Metadata } from "../meta/index.js";
import type { ChunkOutcome, ChunkTarget, Transfer } from "../transfer/index.js";
import type { CacheDirectory } from "./cache-directory.js";
import type { ContentIds } from "./content-ids.js";
import { CacheError } from "./errors.js";
import type { Garbage } from "./garbage.js";
import type { Ledger } from "./ledger.js";
import { cleanCopy, countOf, type ImageTime, NOTHING_COUNTED } from "./local-images.js";
import { type Mirrors, WINDOW_BYTES } from "./mirrors.js";
import { groupByPack, type PlacedChunk, packIdOf, placeChunk, targetOf } from "./placement.js";
import type { Room } from "./room.js";

/** A file up to this size is fetched whole before its open is answered. */
export const SMALL_FILE_BYTES_MAX = 4 << 20;
/** In a pack of large files a window would bring bytes of one of them: only for what is smaller than that window's use. */
const WINDOW_FILE_BYTES_MAX = 1 << 20;
/**
 * Files that come along, and how many after the missed one are looked at for them. The miss waits for them too: so many
 * take about as long as the worker's round trip itself.
 */
const NEIGHBOURS_MAX = 128;
const NEIGHBOURS_BYTES_MAX = 2 << 20;
const NEIGHBOURS_LOOKED_AT = 192;
const DISK_BLOCK_BYTES = 4096;
const FILE_MODE = 0o600;

/** A file to fetch: where its chunks are, and the content file they go to. */
interface Wanted {
  readonly ino: Ino;
  readonly content: ContentRecord;
  readonly chunks: readonly PlacedChunk[];
  readonly diskBytes: number;
}

interface Arrived {
  readonly file: Wanted;
  readonly contentId: ContentId;
}

export interface SmallFilesTools {
  readonly directory: CacheDirectory;
  readonly metadata: Metadata;
  readonly transfer: Transfer;
  readonly ids: ContentIds;
  readonly garbage: Garbage;
  readonly mirrors: Mirrors;
  readonly room: Room;
  readonly ledger: Ledger;
  readonly imageTime: () => ImageTime;
  /** Whether there is a usable image of this content already, or somebody has the file open. */
  readonly isPresent: (ino: Ino, content: ContentRecord) => boolean;
}

/**
 * Fetches small files whole, with their neighbours: inodes created one after the other lie one after the other in a
 * pack, and are wanted one after the other.
 */
export class SmallFiles {
  readonly #tools: SmallFilesTools;
  /** Files on their way, neighbours too. */
  readonly #coming = new Map<Ino, Promise<void>>();

  constructor(tools: SmallFilesTools) {
    this.#tools = tools;
  }

  /**
   * Resolves when there is a local image of this content, recorded as complete and clean; or when the inode's content
   * has changed meanwhile, which the caller finds out by looking again.
   * @throws CacheError corrupt, fetch-failed, no-space.
   */
  async fetch(ino: Ino, content: ContentRecord): Promise<void> {
    const coming = this.#coming.get(ino);
    if (coming !== undefined) {
      // As a neighbour it may have failed where on its own it will not; the caller looks, and asks again.
      await coming.catch(ignore);
      return;
    }
    const file = this.#wanted(ino, content);
    const group = groupByPack(file.chunks);
    const [pack] = group.keys();
    const windowed = pack !== undefined && group.size === 1 && this.#usesWindow(pack, content);
    const files = windowed ? [file, ...this.#neighbours(file, pack)] : [file];
    const fetching = this.#fetchAll(files, windowed ? pack : undefined);
    for (const one of files) this.#coming.set(one.ino, fetching);
    try {
      await fetching;
    } finally {
      for (const one of files) this.#coming.delete(one.ino);
    }
  }

  #usesWindow(pack: PackNumber, content: ContentRecord): boolean {
    const packBytes = this.#tools.metadata.pack(pack)?.sizeBytes ?? 0;
    if (packBytes === 0 || !this.#tools.room.fits(Math.min(packBytes, WINDOW_BYTES) * 2)) return false;
    return packBytes <= WINDOW_BYTES || content.sizeBytes <= WINDOW_FILE_BYTES_MAX;
  }

  #wanted(ino: Ino, content: ContentRecord): Wanted {
    const { metadata } = this.#tools;
    const hashes = metadata.chunkHashes(ino, 0, Math.ceil(content.sizeBytes / CHUNK_SIZE_BYTES));
    const chunks = hashes.flatMap((hash, index) => (hash === null ? [] : [placeChunk(metadata, ino, index, hash)]));
    const diskBytes = Math.ceil(content.sizeBytes / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES;
    return { ino, content, chunks, diskBytes };
  }

  /** Files after this one whose bytes are in the same windows of the same pack, and which are not here yet. */
  #neighbours(file: Wanted, pack: PackNumber): Wanted[] {
    const { metadata, isPresent } = this.#tools;
    const [offset, end] = windowsOf(file.chunks);
    const neighbours: Wanted[] = [];
    let bytes = 0;
    for (const [ino, content] of metadata.contents(file.ino, NEIGHBOURS_LOOKED_AT)) {
      if (neighbours.length >= NEIGHBOURS_MAX || bytes >= NEIGHBOURS_BYTES_MAX) break;
      if (content.sizeBytes === 0 || content.sizeBytes > CHUNK_SIZE_BYTES) continue;
      const hash = content.chunks?.[0];
      const record = hash && metadata.chunk(hash);
      if (!hash || record?.pack !== pack || record.offset < offset || record.offset + record.storedLength > end)
        continue;
      if (this.#coming.has(ino) || isPresent(ino, content)) continue;
      neighbours.push(this.#wanted(ino, content));
      bytes += content.sizeBytes;
    }
    return neighbours;
  }

  /** The first file must come; the others may fail. */
  async #fetchAll(files: readonly Wanted[], pack: PackNumber | undefined): Promise<void> {
    const { directory, ids, room } = this.#tools;
    const release = await room.hold(files.reduce((sum, { diskBytes }) => sum + diskBytes, 0));
    const contentIds = ids.reserve(files.length);
    const unused = new Set(contentIds);
    try {
      const targets = files.flatMap((file, i) => {
        const path = directory.contentPath(contentIds[i] ?? ids.next);
        return file.chunks.map((chunk) => targetOf(chunk, path, CHUNK_SIZE_BYTES));
      });
      const outcomes = await this.#bring(files, targets, pack);
      let at = 0;
      const arrived = files.flatMap((file, i) => {
        const failures = outcomes.slice(at, at + file.chunks.length).filter((outcome) => outcome !== undefined);
        at += file.chunks.length;
        if (i === 0 && failures[0] !== undefined) throw errorOf(failures[0]);
        const contentId = contentIds[i];
        return failures.length === 0 && contentId !== undefined ? [{ file, contentId }] : [];
      });
      if (files[0] !== undefined) await this.#makeHoles(files[0], directory.contentPath(contentIds[0] ?? ids.next));
      this.#record(arrived, unused);
    } finally {
      release();
      for (const id of unused) this.#tools.garbage.add(id);
    }
  }

  async #bring(
    files: readonly Wanted[],
    targets: readonly ChunkTarget[],
    pack: PackNumber | undefined,
  ): Promise<readonly ChunkOutcome[]> {
    const { transfer, mirrors } = this.#tools;
    const [first] = files;
    if (pack === undefined || first === undefined) return this.#bringDirectly(first?.chunks ?? [], targets);
    const [offset, end] = windowsOf(first.chunks);
    const packBytes = this.#tools.metadata.pack(pack)?.sizeBytes ?? 0;
    const outcomes = await mirrors.with(pack, offset, Math.min(end, packBytes), (path) =>
      transfer.extractChunks(path, targets, "urgent"),
    );
    // Damaged in the mirror: was it the way here, this disk, or the object itself? The backend is asked again.
    const again = first.chunks.map((_, i) => i).filter((i) => outcomes[i] !== undefined);
    if (again.length === 0) return outcomes;
    const second = await this.#bringDirectly(
      again.flatMap((i) => first.chunks[i] ?? []),
      again.flatMap((i) => targets[i] ?? []),
    );
    return outcomes.map((outcome, i) => (again.includes(i) ? second[again.indexOf(i)] : outcome));
  }

  /** What ends in a hole, or is nothing else, has not got its size from the chunks that were written. */
  async #makeHoles({ content, chunks }: Wanted, path: string): Promise<void> {
    const last = Math.ceil(content.sizeBytes / CHUNK_SIZE_BYTES) - 1;
    if (chunks.at(-1)?.index === last) return;
    const file = await open(path, constants.O_RDWR | constants.O_CREAT, FILE_MODE);
    try {
      await file.truncate(content.sizeBytes);
    } finally {
      await file.close();
    }
  }

  /** From the backend into the content file, without a mirror. */
  async #bringDirectly(
    chunks: readonly PlacedChunk[],
    targets: readonly ChunkTarget[],
  ): Promise<readonly ChunkOutcome[]> {
    const { metadata, transfer } = this.#tools;
    const outcomes: ChunkOutcome[] = new Array(targets.length).fill(undefined);
    const placed = chunks.map((chunk, at) => ({ ...chunk, at }));
    await Promise.all(
      [...groupByPack(placed)].map(async ([pack, group]) => {
        const wanted = group.flatMap(({ at }) => targets[at] ?? []);
        const arrived = await transfer.fetchChunks(packIdOf(metadata, pack), wanted, "urgent");
        group.forEach(({ at }, i) => {
          outcomes[at] = arrived[i];
        });
      }),
    );
    return outcomes;
  }

  /** Makes what arrived the inodes' images, unless they have others now. */
  #record(arrived: readonly Arrived[], unused: Set<ContentId>): void {
    const { metadata, imageTime, ledger, garbage, isPresent } = this.#tools;
    const used: Arrived[] = [];
    const replaced: { readonly ino: Ino; readonly local: LocalFile }[] = [];
    metadata.update((tx) => {
      for (const { file, contentId } of arrived) {
        const { ino, diskBytes } = file;
        const content = tx.content(ino);
        if (content?.version !== file.content.version || isPresent(ino, content)) continue;
        const local = tx.local(ino);
        if (local !== undefined) {
          tx.addGarbage(local.contentId);
          replaced.push({ ino, local });
        }
        tx.removeGarbage(contentId);
        tx.putLocal(ino, cleanCopy(imageTime(), { contentId, content, complete: true, diskBytes }));
        used.push({ file, contentId });
      }
    });
    for (const { ino, local } of replaced) {
      garbage.add(local.contentId, ledger.discard(ino, countOf(local)));
    }
    for (const { file, contentId } of used) {
      unused.delete(contentId);
      ledger.move(file.ino, NOTHING_COUNTED, countOf(metadata.local(file.ino)));
    }
  }
}

/** The stretch of whole windows that holds all these chunks. */
function windowsOf(chunks: readonly PlacedChunk[]): [offset: number, end: number] {
  const offset = Math.min(...chunks.map(({ record }) => record.offset));
  const end = Math.max(...chunks.map(({ record }) => record.offset + record.storedLength));
  return [Math.floor(offset / WINDOW_BYTES) * WINDOW_BYTES, Math.ceil(end / WINDOW_BYTES) * WINDOW_BYTES];
}

function errorOf({ kind, message }: NonNullable<ChunkOutcome>): CacheError {
  return new CacheError(kind === "failed" ? "fetch-failed" : "corrupt", message);
}
