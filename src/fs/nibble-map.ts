// Tables grow by doubling: many small ones never take long to.
const SHARDS = 256;
const SLOTS_MIN = 8;
const LOAD_MAX = 0.75;
/** Fewer than this share of a table's slots in use, and it halves. */
const LOAD_MIN = 0.15;

/** Numbers that share a slot: 32 × 4 bits are four words. */
const GROUP_SIZE = 32;
const GROUP_WORDS = 4;
const NIBBLES_PER_WORD = 8;
const NIBBLE_BITS = 4;
const NIBBLE_MASK = 15;

/** 2³² divided by the golden ratio: spreads consecutive numbers (Knuth, The Art of Computer Programming, 6.4). */
const HASH_FACTOR = 0x9e3779b1;

/**
 * A sparse array of numbers from 0 to 15; 0 is what was never set.
 *
 * For inode numbers: they are numbers of operations (docs/decisions/0001), so files made together, which are mostly used
 * together, are neighbours. Neighbours share 24 bytes, where a Map takes 28 for each: a million files of one extraction
 * take 2 to 7 MB, a million that have nothing to do with each other 50 (docs/decisions/0006).
 */
export class NibbleMap {
  readonly #shards = Array.from({ length: SHARDS }, () => new Shard());

  get(index: number): number {
    const group = Math.floor(index / GROUP_SIZE);
    return this.#shard(group).get(group, index % GROUP_SIZE);
  }

  /** @param value 0 forgets that there was any. */
  set(index: number, value: number): void {
    const group = Math.floor(index / GROUP_SIZE);
    this.#shard(group).set(group, index % GROUP_SIZE, value);
  }

  #shard(group: number): Shard {
    // Modulo, not a mask: groups may outgrow 32 bits. There always is a shard of that index.
    return this.#shards[group % SHARDS] as Shard;
  }
}

/**
 * Hash table with open addressing and linear probing, in typed arrays: nothing for the garbage collector to visit.
 *
 * Invariants: #keys[slot] is 0, or 1 + a group that has a nibble other than 0; between the slot a group hashes to and the
 * one it is in, none is free.
 */
class Shard {
  #keys = new Float64Array(SLOTS_MIN);
  #words = new Uint32Array(SLOTS_MIN * GROUP_WORDS);
  #used = 0;

  get(group: number, index: number): number {
    const slot = this.#find(group);
    if (this.#keys[slot] === 0) return 0;
    return ((this.#words[wordAt(slot, index)] ?? 0) >>> shiftOf(index)) & NIBBLE_MASK;
  }

  set(group: number, index: number, value: number): void {
    let slot = this.#find(group);
    if (this.#keys[slot] === 0) {
      if (value === 0) return;
      if (this.#used >= this.#keys.length * LOAD_MAX) {
        this.#resize(this.#keys.length * 2);
        slot = this.#find(group);
      }
      this.#keys[slot] = group + 1;
      this.#used += 1;
    }
    const at = wordAt(slot, index);
    const others = (this.#words[at] ?? 0) & ~(NIBBLE_MASK << shiftOf(index));
    this.#words[at] = others | (value << shiftOf(index));
    if (value === 0 && this.#isEmpty(slot)) this.#remove(slot);
  }

  /** The group's slot, or the free one where it belongs. */
  #find(group: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let slot = this.#home(group + 1);
    while (keys[slot] !== 0 && keys[slot] !== group + 1) slot = (slot + 1) & mask;
    return slot;
  }

  #home(key: number): number {
    // Groups of one shard differ in what is above the shard's number. The high bits of the product are the good ones.
    const hash = Math.imul(Math.floor((key - 1) / SHARDS), HASH_FACTOR);
    return hash >>> (Math.clz32(this.#keys.length) + 1);
  }

  #isEmpty(slot: number): boolean {
    const words = this.#words;
    for (let at = slot * GROUP_WORDS; at < (slot + 1) * GROUP_WORDS; at++) if (words[at] !== 0) return false;
    return true;
  }

  /** Fills the gap with what would not be found behind it (Knuth 6.4, algorithm R). */
  #remove(removed: number): void {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let gap = removed;
    for (let slot = (gap + 1) & mask; keys[slot] !== 0; slot = (slot + 1) & mask) {
      const key = keys[slot] ?? 0;
      if (((slot - this.#home(key)) & mask) < ((slot - gap) & mask)) continue;
      keys[gap] = key;
      this.#words.copyWithin(gap * GROUP_WORDS, slot * GROUP_WORDS, (slot + 1) * GROUP_WORDS);
      gap = slot;
    }
    keys[gap] = 0;
    this.#words.fill(0, gap * GROUP_WORDS, (gap + 1) * GROUP_WORDS);
    this.#used -= 1;
    if (keys.length > SLOTS_MIN && this.#used < keys.length * LOAD_MIN) this.#resize(keys.length / 2);
  }

  /** @param slots a power of two */
  #resize(slots: number): void {
    const keys = this.#keys;
    const words = this.#words;
    this.#keys = new Float64Array(slots);
    this.#words = new Uint32Array(slots * GROUP_WORDS);
    keys.forEach((key, from) => {
      if (key === 0) return;
      const slot = this.#find(key - 1);
      this.#keys[slot] = key;
      this.#words.set(words.subarray(from * GROUP_WORDS, (from + 1) * GROUP_WORDS), slot * GROUP_WORDS);
    });
  }
}

function wordAt(slot: number, index: number): number {
  return slot * GROUP_WORDS + Math.floor(index / NIBBLES_PER_WORD);
}

function shiftOf(index: number): number {
  return (index % NIBBLES_PER_WORD) * NIBBLE_BITS;
}
