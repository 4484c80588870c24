import type { HandleId, Ino, Name } from "../../base/index.js";
import type { Caller } from "../../fs/index.js";
import { InHeader } from "./structs.js";

const TWO_POW_32 = 0x1_0000_0000;

/**
 * The request that is being handled, read straight from the engine's buffer: nothing is copied or built that its handler
 * does not ask for. Valid until the handler returns; what is needed later must be read before.
 *
 * Offsets are from the start of the body (see `structs.ts`). Numbers above 2^53 lose their last bits: only sizes and
 * offsets beyond any file can be that large, and those are refused all the same.
 */
export class Request {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #end = 0;
  #opcode = 0;
  #unique = 0;
  #ino = 0;

  /** @param bytes the engine's request buffer, borrowed for the session's life */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Turns to the next request, of `length` bytes with its header. */
  load(length: number): void {
    const view = this.#view;
    this.#end = length;
    this.#opcode = view.getUint32(InHeader.opcode, true);
    this.#unique = this.#u64(InHeader.unique);
    this.#ino = this.#u64(InHeader.nodeid);
  }

  get opcode(): number {
    return this.#opcode;
  }

  /** Names the request until it is answered. */
  get unique(): number {
    return this.#unique;
  }

  /** The inode the request is about; of requests with names, the directory. */
  get ino(): Ino {
    return this.#ino as Ino;
  }

  /** Of the thread that waits; 0 when it is in a process namespace the mount cannot see into. */
  get pid(): number {
    return this.#view.getUint32(InHeader.pid, true);
  }

  get caller(): Caller {
    const view = this.#view;
    return { uid: view.getUint32(InHeader.uid, true), gid: view.getUint32(InHeader.gid, true), pid: this.pid };
  }

  u32(at: number): number {
    return this.#view.getUint32(InHeader.size + at, true);
  }

  u64(at: number): number {
    return this.#u64(InHeader.size + at);
  }

  i64(at: number): number {
    const view = this.#view;
    return view.getInt32(InHeader.size + at + 4, true) * TWO_POW_32 + view.getUint32(InHeader.size + at, true);
  }

  inoAt(at: number): Ino {
    return this.u64(at) as Ino;
  }

  handle(at: number): HandleId {
    return this.u64(at) as HandleId;
  }

  /** The bytes up to the next NUL, one char each; the one after it begins at `at + length + 1`. */
  name(at: number): Name {
    const start = InHeader.size + at;
    const nul = this.#bytes.indexOf(0, start);
    const end = nul < 0 || nul > this.#end ? this.#end : nul;
    return this.#bytes.toString("latin1", start, end) as Name;
  }

  /** A copy of `length` bytes. */
  copyBytes(at: number, length: number): Uint8Array {
    const start = InHeader.size + at;
    return new Uint8Array(this.#bytes.subarray(start, Math.min(start + length, this.#end)));
  }

  #u64(offset: number): number {
    return this.#view.getUint32(offset + 4, true) * TWO_POW_32 + this.#view.getUint32(offset, true);
  }
}
