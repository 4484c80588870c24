import { type Clock, formatBytes, ignore, type Timer } from "../base/index.js";
import type { CacheCore } from "./core.js";
import type { Evictor } from "./evictor.js";
import type { Uploads } from "./uploads.js";

const TICK_MS = 200;
/** Every so many ticks the disk is asked how much it has free, … */
const LOOK_TICKS = 10;
/** … and what is rarely needed is done. */
const TIDY_TICKS = 50;
/**
 * A removed file is uploaded no longer than this. It may be the newest checkpoint that the volume can have, if each is replaced
 * before it is uploaded; but it takes room on the disk.
 */
const ABANDONED_UPLOAD_MS = 60 * 60_000;

/** Margins kept free below the limit, as shares of it with a ceiling in bytes. */
const EVICT_BELOW = { share: 1 / 16, bytesMax: 2 * 2 ** 30 };
const PRESSED_BELOW = { share: 1 / 32, bytesMax: 2 ** 30 };

/**
 * What the cache does by itself: it looks how large the files have become that the kernel writes without telling, keeps
 * some room free, and raises the alarm when that does not succeed.
 *
 * Passthrough writes cannot be held back. So the margin is what may be written between two looks, and when it is used
 * up, new writers are served by the engine, which can hold them.
 */
export class Upkeep {
  readonly #core: CacheCore;
  readonly #evictor: Evictor;
  readonly #uploads: Uploads;
  readonly #clock: Clock;
  readonly #listeners: ((full: boolean) => void)[] = [];
  #timer: Timer | undefined;
  #ticks = 0;
  #evicting = false;

  constructor(core: CacheCore, evictor: Evictor, uploads: Uploads) {
    this.#core = core;
    this.#evictor = evictor;
    this.#uploads = uploads;
    this.#clock = core.parts.clock;
  }

  start(): void {
    this.#timer = this.#clock.setTimer(TICK_MS, () => {
      this.#tick();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  onPressure(listener: (full: boolean) => void): void {
    this.#listeners.push(listener);
  }

  #tick(): void {
    const { room, recency, mirrors } = this.#core.parts;
    this.#ticks++;
    for (const image of this.#core.images.values()) if (image.writers > 0) this.#core.count(image);
    if (this.#ticks % LOOK_TICKS === 0) room.look().catch(ignore);
    if (this.#ticks % TIDY_TICKS === 0) {
      recency.flush();
      this.#uploads.tidy(this.#clock.nowMs() - ABANDONED_UPLOAD_MS);
      mirrors.tidy().catch(ignore);
    }
    this.#makeRoom();
    this.#judge();
  }

  #margin({ share, bytesMax }: { readonly share: number; readonly bytesMax: number }): number {
    return Math.min(this.#core.parts.room.limits.limitBytes * share, bytesMax);
  }

  #makeRoom(): void {
    const margin = this.#margin(EVICT_BELOW);
    const { room, onProblem } = this.#core.parts;
    if (this.#evicting || room.bytes >= margin) return;
    this.#evicting = true;
    this.#evictor
      .free(() => margin - room.bytes)
      .catch((error: unknown) =>
        onProblem(`evicting failed: ${error instanceof Error ? error.message : String(error)}`),
      )
      .finally(() => {
        this.#evicting = false;
      });
  }

  /** Pressed when the smaller margin is used up, until twice of it is free: no flutter. */
  #judge(): void {
    const core = this.#core;
    const { room, ledger, onProblem } = core.parts;
    const margin = this.#margin(PRESSED_BELOW);
    const pressed = room.bytes < (core.pressed ? 2 * margin : margin);
    if (pressed === core.pressed) return;
    core.pressed = pressed;
    if (pressed) {
      const dirty = formatBytes(ledger.dirtyBytes);
      onProblem(`the cache is nearly full and ${dirty} in it are not uploaded yet: writers have to wait`);
    }
    for (const listener of this.#listeners) listener(pressed);
  }
}
