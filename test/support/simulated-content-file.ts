import type { Time } from "../../src/format/index.js";
import type { ContentFile } from "../../src/native/addon.js";

const FALLOC_FL_KEEP_SIZE = 0x01;
const FALLOC_FL_PUNCH_HOLE = 0x02;

/**
 * A simulation of a complete content file: its bytes are in memory, and nobody but the test writes to it. It has no holes
 * and never parks.
 */
export class SimulatedContentFile implements ContentFile {
  readonly fd = -1;
  readonly complete = true;
  bytes: Buffer;
  mtime: Time;
  readonly #now: () => Time;

  constructor(bytes: Buffer, mtime: Time, now: () => Time) {
    this.bytes = bytes;
    this.mtime = mtime;
    this.#now = now;
  }

  /** What a passthrough handle does: the daemon does not hear of it. */
  writeSync(from: Uint8Array, position: number): void {
    this.#grow(position + from.length);
    this.bytes.set(from, position);
    this.mtime = this.#now();
  }

  stat(out: Float64Array): void {
    out.set([this.bytes.length, Math.ceil(this.bytes.length / 512), this.mtime.sec, this.mtime.nsec, 0, 0]);
  }

  setMtime(sec: number, nsec: number): void {
    this.mtime = { sec, nsec };
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return this.bytes.copy(into, 0, position);
  }

  async write(from: Uint8Array, position: number): Promise<number> {
    this.writeSync(from, position);
    return from.length;
  }

  async truncate(size: number): Promise<void> {
    this.#grow(size);
    this.bytes = this.bytes.subarray(0, size);
    this.mtime = this.#now();
  }

  async fallocate(mode: number, offset: number, length: number): Promise<void> {
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0) this.#grow(offset + length);
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) this.bytes.fill(0, offset, offset + length);
    this.mtime = this.#now();
  }

  /** All data, one hole: the end. */
  async seek(offset: number, whence: number): Promise<number> {
    return whence === 3 ? offset : this.bytes.length;
  }

  async copyRange(from: ContentFile, fromOffset: number, offset: number, length: number): Promise<number> {
    const part = Buffer.alloc(length);
    const count = await from.read(part, fromOffset);
    return this.write(part.subarray(0, count), offset);
  }

  claim(): number[] {
    return [];
  }
  has(): boolean {
    return true;
  }
  beginPublish(): number[] {
    return [];
  }
  async sync(): Promise<void> {}
  fill(): void {}
  fail(): void {}
  setTrigger(): void {}
  endPublish(): void {}
  close(): void {}

  #grow(size: number): void {
    if (size <= this.bytes.length) return;
    this.bytes = Buffer.concat([this.bytes, Buffer.alloc(size - this.bytes.length)]);
  }
}
