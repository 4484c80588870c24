import { allocateReadBuffer, allocateReusedBuffer, collectGarbage, systemClock, type Timer } from "../../base/index.js";

/** Smaller ones come from V8 as fast as from here. */
const SIZE_BYTES_MIN = 1 << 20;
/** A pack. Larger ones are made for one use. */
const SIZE_BYTES_MAX = 64 << 20;
/** A thread that has had nothing to do for this long gives its memory back. */
const IDLE_MS = 5_000;
/** So much memory that V8 does not count may be dropped before its garbage is collected: four packs. */
const DROPPED_BYTES_MAX = 256 << 20;

/**
 * The large buffers of one thread, used again and again: fresh memory costs a page fault for every 4 KiB, and V8
 * collects garbage each time 64 MiB of it have been asked for (docs/decisions/0005).
 *
 * There are as many as were in use at once, which the places of the lanes bound.
 */
export class Buffers {
  /** By size, a power of two. */
  readonly #free = new Map<number, Buffer[]>();
  #inUse = 0;
  #droppedBytes = 0;
  #timer: Timer | undefined;

  /** At least `lengthBytes`, holding whatever its last user left. Every buffer comes back by {@link give} or {@link drop}. */
  take(lengthBytes: number): Buffer {
    this.#inUse++;
    this.#timer?.cancel();
    const size = 2 ** Math.ceil(Math.log2(Math.max(lengthBytes, SIZE_BYTES_MIN)));
    if (size > SIZE_BYTES_MAX) return allocateReadBuffer(lengthBytes);
    return this.#free.get(size)?.pop() ?? allocateReusedBuffer(size);
  }

  /** Nobody reads from it or writes to it any more. */
  give(buffer: Buffer): void {
    if (buffer.length <= SIZE_BYTES_MAX) {
      const free = this.#free.get(buffer.length);
      if (free === undefined) this.#free.set(buffer.length, [buffer]);
      else free.push(buffer);
    }
    this.#end();
  }

  /** Somebody may still be at it: it is left to the garbage collector. */
  drop(buffer: Buffer): void {
    this.#droppedBytes += buffer.length;
    if (this.#droppedBytes >= DROPPED_BYTES_MAX) this.#collectGarbage();
    this.#end();
  }

  #end(): void {
    if (--this.#inUse > 0) return;
    this.#timer = systemClock.setTimer(IDLE_MS, () => {
      this.#free.clear();
      this.#collectGarbage();
    });
  }

  #collectGarbage(): void {
    this.#droppedBytes = 0;
    collectGarbage();
  }
}
