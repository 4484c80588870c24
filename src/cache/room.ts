import { statfs } from "node:fs/promises";
import { type Clock, formatBytes, ignore } from "../base/index.js";
import { CacheError } from "./errors.js";
import type { Ledger } from "./ledger.js";

export interface RoomLimits {
  readonly limitBytes: number;
  /** Stays free on the disk, whatever the limit says. */
  readonly freeSpaceBytes: number;
  /** How long a fetch waits for room before its reader gets an error. */
  readonly waitMs: number;
}

/** Makes room for what is needed by then: resolves to the bytes that were freed, 0 when nothing can be evicted now. */
export type FreeBytes = (need: () => number) => Promise<number>;

/** How often somebody who waits looks again although nothing was heard: others fill and empty the disk too. */
const LOOK_MS = 250;

/** How much may still be put on the disk: the cache limit, and the free space that others see. */
export class Room {
  readonly limits: RoomLimits;
  readonly #directory: string;
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #free: FreeBytes;
  readonly #stop = new AbortController();
  /** What the disk had free when it was last asked, and what the cache took then. */
  #sample: { readonly freeBytes: number; readonly usedBytes: number } | undefined;

  constructor(directory: string, limits: RoomLimits, tools: { ledger: Ledger; clock: Clock; free: FreeBytes }) {
    this.limits = limits;
    this.#directory = directory;
    this.#ledger = tools.ledger;
    this.#clock = tools.clock;
    this.#free = tools.free;
  }

  /** Bytes that may still be written. Negative when the disk has been filled by others. */
  get bytes(): number {
    const used = this.#ledger.usedBytes;
    const byLimit = this.limits.limitBytes - used;
    if (this.#sample === undefined) return byLimit;
    const { freeBytes, usedBytes } = this.#sample;
    return Math.min(byLimit, freeBytes - (used - usedBytes) - this.limits.freeSpaceBytes);
  }

  fits(bytes: number): boolean {
    return bytes <= this.bytes;
  }

  /** Asks the disk. Between two calls, only what the cache itself does is known. */
  async look(): Promise<void> {
    const usedBytes = this.#ledger.usedBytes;
    const { bavail, bsize } = await statfs(this.#directory);
    this.#sample = { freeBytes: bavail * bsize, usedBytes };
  }

  /**
   * Resolves when `bytes` more fit: evicts, and waits for uploads when there is nothing to evict.
   * @throws CacheError no-space when they never will, or not within `waitMs`; closed.
   */
  async reserve(bytes: number, waitMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.fits(bytes)) return;
    const { limitBytes } = this.limits;
    if (bytes > limitBytes) {
      throw new CacheError("no-space", `${formatBytes(bytes)} do not fit a cache of ${formatBytes(limitBytes)}`);
    }
    const endMs = this.#clock.monotonicMs() + waitMs;
    while (!this.fits(bytes)) {
      if (this.#stop.signal.aborted) throw new CacheError("closed", "the cache is closing");
      const freed = await this.#free(() => bytes - this.bytes);
      if (freed > 0 || this.fits(bytes)) continue;
      if (this.#clock.monotonicMs() >= endMs) throw this.#full();
      await this.#less();
      await this.look().catch(ignore);
    }
  }

  /** {@link reserve}, and counts the bytes as used at once. Returns what takes them off again. */
  async hold(bytes: number, waitMs = this.limits.waitMs): Promise<() => void> {
    // Again: others may have been told the same and come first.
    do await this.reserve(bytes, waitMs);
    while (!this.fits(bytes));
    return this.#ledger.hold(bytes);
  }

  /**
   * {@link hold}, without waiting for uploads.
   * @throws CacheError no-space at once; nothing has been evicted when that could not have been enough.
   */
  async holdNow(bytes: number): Promise<() => void> {
    await this.look().catch(ignore);
    const { usedBytes, dirtyBytes } = this.#ledger;
    if (bytes > this.bytes + usedBytes - dirtyBytes && bytes <= this.limits.limitBytes) throw this.#full();
    return this.hold(bytes, 0);
  }

  /** Whoever waits gets an error. */
  stop(): void {
    this.#stop.abort();
  }

  #full(): CacheError {
    const dirty = formatBytes(this.#ledger.dirtyBytes);
    return new CacheError("no-space", `the cache is full: ${dirty} wait for upload, nothing can be evicted`);
  }

  async #less(): Promise<void> {
    const pause = new AbortController();
    const end = (): void => pause.abort();
    const endListening = this.#ledger.onLess(end);
    this.#stop.signal.addEventListener("abort", end, { once: true });
    await this.#clock.sleep(LOOK_MS, pause.signal).catch(ignore);
    this.#stop.signal.removeEventListener("abort", end);
    endListening();
  }
}
