import type { ChunkHash } from "../../base/index.js";
import {
  decodeChunk,
  decodePackFooter,
  encodeChunk,
  FormatError,
  hashChunk,
  type PackEntry,
  PackLayout,
  packFooterLength,
} from "../../format/index.js";
import { TransferError } from "../errors.js";
import type { ChunkSource } from "../transfer.js";
import type { LocalFiles } from "./local-files.js";

/** A chunk as it was read. */
export interface ReadChunk {
  /** Null for a hole. */
  readonly hash: ChunkHash | null;
  /** Shorter than asked when the file has shrunk. */
  readonly rawLength: number;
}

/** Bytes a builder may need for these chunks. */
export function packBytesMax(sources: readonly ChunkSource[]): number {
  return sources.reduce((sum, { length }) => sum + length, 0) + packFooterLength(sources.length);
}

/**
 * Makes a pack in one buffer: chunks are read into it one behind the other, hashed, and then packed where they lie. What
 * does not compress is neither read nor hashed nor copied again, unless a chunk before it is left out.
 */
export class PackBuilder {
  readonly #buffer: Buffer;
  readonly #layout = new PackLayout();
  /** Distinct chunks and where they were read to, in this order. */
  readonly #read = new Map<ChunkHash, Buffer>();
  #readLength = 0;

  /** @param buffer of at least {@link packBytesMax}; belongs to the builder */
  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Distinct hashes so far, holes left out. */
  get hashes(): readonly ChunkHash[] {
    return [...this.#read.keys()];
  }

  read(files: LocalFiles, { path, offset, length }: ChunkSource): ReadChunk {
    const into = this.#buffer.subarray(this.#readLength, this.#readLength + length);
    const plain = into.subarray(0, files.read(path, into, offset));
    const hash = hashChunk(plain);
    if (hash !== null && !this.#read.has(hash)) {
      this.#read.set(hash, plain);
      this.#readLength += plain.length;
    }
    return { hash, rawLength: plain.length };
  }

  /** Gives a chunk that was read its place, behind those packed before. In the order of reading, each once at most. */
  pack(hash: ChunkHash): void {
    const plain = this.#read.get(hash);
    const encoded = plain && encodeChunk(plain, hash);
    if (encoded === undefined) return;
    const at = this.#layout.dataLength;
    const entry = this.#layout.add(encoded);
    // Never beyond where it was read to, so what is not packed yet stays as it is.
    const isInPlace = encoded.stored === plain && at === plain.byteOffset - this.#buffer.byteOffset;
    if (isInPlace) return;
    this.#buffer.set(encoded.stored, at);
    this.#verify(entry);
  }

  /** Where a chunk lies; undefined when it was not packed. */
  find(hash: ChunkHash): PackEntry | undefined {
    return this.#layout.find(hash);
  }

  /** The whole pack: a view of the buffer. Undefined when nothing was packed. */
  finish(): Buffer | undefined {
    if (this.#layout.entries.length === 0) return undefined;
    const footer = this.#layout.footer();
    this.#buffer.set(footer, this.#layout.dataLength);
    const bytes = this.#buffer.subarray(0, this.#layout.sizeBytes);
    verifying(() => {
      const isSame = JSON.stringify(decodePackFooter(bytes, bytes.length)) === JSON.stringify(this.#layout.entries);
      if (!isSame) throw new FormatError("malformed", "the footer lists other chunks than were packed");
    });
    return bytes;
  }

  /**
   * Decodes what was compressed or moved, and compares: a bug or a flipped bit must not become the only copy of
   * somebody's data. What lies where it was hashed has been compared by that.
   */
  #verify(entry: PackEntry): void {
    verifying(() => decodeChunk(this.#buffer.subarray(entry.offset, entry.offset + entry.storedLength), entry));
  }
}

function verifying(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const message = `a pack was not sent because it does not decode to what was packed: ${error.message}`;
    throw new TransferError("verification", message, { retryable: true, cause: error });
  }
}
