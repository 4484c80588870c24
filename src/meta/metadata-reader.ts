import type { ChunkHash, Ino, Name } from "../base/index.js";
import {
  type ChunkRecord,
  type ContentRecord,
  chunkKey,
  contentKey,
  contentPrefix,
  type DentryRecord,
  type DirectoryTimes,
  decodeChunkRecord,
  decodeContent,
  decodeDentry,
  decodeDirectoryTimes,
  decodeExtent,
  decodeInode,
  decodePackRecord,
  dentryKey,
  dentryPrefix,
  directoryTimesKey,
  EXTENT_GROUP_CHUNKS,
  extentKey,
  type InodeRecord,
  inodeKey,
  nameOfKey,
  type PackNumber,
  type PackRecord,
  packKey,
  parseKey,
  prefixEnd,
  xattrKey,
  xattrPrefix,
} from "../format/index.js";
import { decodeLocalFile, localKey } from "./local-records.js";
import type { LocalFile, MetadataView } from "./metadata.js";
import type { StoreView } from "./store.js";

const contentEnd = prefixEnd(contentPrefix());

/** Typed records read from a store. Keeps nothing: a get with its decoding takes about a microsecond. */
export class MetadataReader implements MetadataView {
  readonly #view: StoreView;

  constructor(view: StoreView) {
    this.#view = view;
  }

  inode(ino: Ino): InodeRecord | undefined {
    const bytes = this.#view.get(inodeKey(ino));
    return bytes && decodeInode(bytes);
  }

  directoryTimes(ino: Ino): DirectoryTimes | undefined {
    const bytes = this.#view.get(directoryTimesKey(ino));
    return bytes && decodeDirectoryTimes(bytes);
  }

  dentry(parent: Ino, name: Name): DentryRecord | undefined {
    const bytes = this.#view.get(dentryKey(parent, name));
    return bytes && decodeDentry(bytes);
  }

  dentries(parent: Ino, after: Name | undefined, limit: number): readonly (readonly [Name, DentryRecord])[] {
    const prefix = dentryPrefix(parent);
    // The least key greater than that of `after` is the same with a zero byte behind it.
    const start = after === undefined ? prefix : Buffer.concat([dentryKey(parent, after), Buffer.of(0)]);
    const entries: (readonly [Name, DentryRecord])[] = [];
    for (const [key, value] of this.#view.range(start, prefixEnd(prefix), { limit })) {
      entries.push([nameOfKey(key), decodeDentry(value)]);
    }
    return entries;
  }

  isEmptyDirectory(ino: Ino): boolean {
    const prefix = dentryPrefix(ino);
    for (const _entry of this.#view.range(prefix, prefixEnd(prefix), { limit: 1 })) return false;
    return true;
  }

  xattr(ino: Ino, name: Name): Uint8Array | undefined {
    const bytes = this.#view.get(xattrKey(ino, name));
    return bytes && Buffer.from(bytes);
  }

  xattrNames(ino: Ino): readonly Name[] {
    const prefix = xattrPrefix(ino);
    return Array.from(this.#view.range(prefix, prefixEnd(prefix)), ([key]) => nameOfKey(key));
  }

  content(ino: Ino): ContentRecord | undefined {
    const bytes = this.#view.get(contentKey(ino));
    return bytes && decodeContent(bytes);
  }

  contents(after: Ino, limit: number): readonly (readonly [Ino, ContentRecord])[] {
    const found: (readonly [Ino, ContentRecord])[] = [];
    for (const [key, value] of this.#view.range(contentKey((after + 1) as Ino), contentEnd, { limit })) {
      const parsed = parseKey(key);
      if (parsed.kind === "content") found.push([parsed.ino, decodeContent(value)]);
    }
    return found;
  }

  chunkHashes(ino: Ino, first: number, count: number): readonly (ChunkHash | null)[] {
    const hashes = new Array<ChunkHash | null>(count).fill(null);
    const content = this.content(ino);
    if (content === undefined) return hashes;
    if (content.chunks !== undefined) {
      const { chunks } = content;
      return hashes.map((_, index) => chunks[first + index] ?? null);
    }
    const last = first + count - 1;
    for (let group = Math.floor(first / EXTENT_GROUP_CHUNKS); group * EXTENT_GROUP_CHUNKS <= last; group++) {
      const bytes = this.#view.get(extentKey(ino, group));
      if (bytes === undefined) continue;
      const base = group * EXTENT_GROUP_CHUNKS;
      const chunks = decodeExtent(bytes);
      const end = Math.min(last + 1, base + chunks.length);
      for (let index = Math.max(first, base); index < end; index++) {
        hashes[index - first] = chunks[index - base] ?? null;
      }
    }
    return hashes;
  }

  chunk(hash: ChunkHash): ChunkRecord | undefined {
    const bytes = this.#view.get(chunkKey(hash));
    return bytes && decodeChunkRecord(bytes);
  }

  pack(number: PackNumber): PackRecord | undefined {
    const bytes = this.#view.get(packKey(number));
    return bytes && decodePackRecord(bytes);
  }

  local(ino: Ino): LocalFile | undefined {
    const bytes = this.#view.get(localKey(ino));
    return bytes && decodeLocalFile(bytes);
  }
}
