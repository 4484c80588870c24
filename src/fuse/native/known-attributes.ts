import type { Ino } from "../../base/index.js";
import type { AttributeListener } from "../../fs/index.js";
import { ATTRIBUTE_SLOT_BYTES } from "../../native/index.js";
import { Attr, AttrOut } from "./structs.js";

/** 1 MiB of them. */
const SLOT_COUNT = 8192;
const TWO_POW_32 = 0x1_0000_0000;
const INO = 0;
const ANSWER = 8;
const ATTR = ANSWER + AttrOut.attr;

type DirectoryTimes = Parameters<AttributeListener["touched"]>[1];

/**
 * The answers to GETATTR that the engine repeats by itself: native/fuse/attribute_answers.h, where they come from. Here they go,
 * or change, when what they were made of does.
 *
 * Invariant, between two turns of the event loop: what is in the table is what `getAttributes` would be answered with.
 */
export class KnownAttributes implements AttributeListener {
  readonly table = new Uint8Array(SLOT_COUNT * ATTRIBUTE_SLOT_BYTES);
  readonly #view = new DataView(this.table.buffer);

  changed(ino: Ino): void {
    const at = this.#find(ino);
    if (at !== undefined) this.table.fill(0, at, at + ANSWER);
  }

  touched(directory: Ino, { mtime, ctime, nlink }: DirectoryTimes): void {
    const at = this.#find(directory);
    if (at === undefined) return;
    this.#putSeconds(at + ATTR + Attr.mtime, mtime.sec);
    this.#putSeconds(at + ATTR + Attr.ctime, ctime.sec);
    this.#view.setUint32(at + ATTR + Attr.mtimensec, mtime.nsec, true);
    this.#view.setUint32(at + ATTR + Attr.ctimensec, ctime.nsec, true);
    this.#view.setUint32(at + ATTR + Attr.nlink, nlink, true);
  }

  /** Where the slot of an inode is, if it is the inode's. */
  #find(ino: Ino): number | undefined {
    const at = (ino % SLOT_COUNT) * ATTRIBUTE_SLOT_BYTES;
    const low = this.#view.getUint32(at + INO, true);
    const high = this.#view.getUint32(at + INO + 4, true);
    return high * TWO_POW_32 + low === ino ? at : undefined;
  }

  /** Negative before 1970. */
  #putSeconds(at: number, seconds: number): void {
    this.#view.setUint32(at, seconds, true);
    this.#view.setInt32(at + 4, Math.floor(seconds / TWO_POW_32), true);
  }
}
