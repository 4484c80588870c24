import type { Name } from "../base/index.js";

const ANCHOR_INTERVAL = 32;
const CAPACITY_BYTES_MIN = 256;

/**
 * The names a directory handle has listed, by position: what a seekdir() to any of them needs.
 *
 * A listing goes by name, but a cookie must be a number, and must still mean the same place when names before it
 * have come or gone. So a cookie is a position in this list. Names are listed in byte order and neighbours
 * share their beginnings; each is stored as the length of what it shares with the one before, then the rest,
 * and every {@link ANCHOR_INTERVAL}th whole: about ten bytes a name, a million names in 10 MB while they are listed.
 */
export class NameTrail {
  // Records of: shared length (1 byte), suffix length (1 byte), suffix. Names have at most 255 bytes.
  #bytes: Buffer = Buffer.alloc(0);
  #end = 0;
  /** Offsets of the records with position n × ANCHOR_INTERVAL; these share nothing. */
  readonly #anchors: number[] = [];
  #length = 0;
  #last: Name | undefined;

  get length(): number {
    return this.#length;
  }

  get last(): Name | undefined {
    return this.#last;
  }

  push(name: Name): void {
    const isAnchor = this.#length % ANCHOR_INTERVAL === 0;
    const shared = isAnchor || this.#last === undefined ? 0 : sharedLength(this.#last, name);
    const suffixLength = name.length - shared;
    this.#reserve(2 + suffixLength);
    if (isAnchor) this.#anchors.push(this.#end);
    this.#bytes[this.#end] = shared;
    this.#bytes[this.#end + 1] = suffixLength;
    this.#bytes.write(name.slice(shared), this.#end + 2, "latin1");
    this.#end += 2 + suffixLength;
    this.#length += 1;
    this.#last = name;
  }

  /** The names from `position` on, in the order they were pushed. */
  *from(position: number): Generator<Name, void, undefined> {
    const anchor = Math.floor(position / ANCHOR_INTERVAL);
    let at: number | undefined = this.#anchors[anchor];
    if (at === undefined) return;
    let name = "";
    for (let index = anchor * ANCHOR_INTERVAL; index < this.#length; index++) {
      const shared = this.#bytes.readUInt8(at);
      const end: number = at + 2 + this.#bytes.readUInt8(at + 1);
      name = name.slice(0, shared) + this.#bytes.toString("latin1", at + 2, end);
      at = end;
      if (index >= position) yield name as Name;
    }
  }

  clear(): void {
    this.#end = 0;
    this.#anchors.length = 0;
    this.#length = 0;
    this.#last = undefined;
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length, CAPACITY_BYTES_MIN));
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#bytes = grown;
  }
}

function sharedLength(a: string, b: string): number {
  const max = Math.min(a.length, b.length);
  let length = 0;
  while (length < max && a.charCodeAt(length) === b.charCodeAt(length)) length += 1;
  return length;
}
