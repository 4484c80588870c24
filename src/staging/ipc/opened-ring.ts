import { openSync } from "node:fs";
import type { DeviceCopier, StagingAddon, StagingRing } from "../../native/index.js";
import { Copies } from "./copies.js";
import type { RingReference } from "./messages.js";

/** A ring of the parent's, mapped in the child, and pinned for the devices that copy into it. */
export class OpenedRing {
  readonly ring: StagingRing;
  readonly #note: (message: string) => void;
  /** Whether it is pinned. */
  readonly #pins = new Map<DeviceCopier, Promise<boolean>>();
  readonly #copies = new Copies();

  /** @throws a system error when it is not there. */
  constructor(addon: StagingAddon, reference: RingReference, note: (message: string) => void) {
    this.#note = note;
    const { fd, ...shape } = reference;
    // The parent's descriptor: it stays open there as long as its client is attached.
    this.ring = addon.openRing(openSync(`/proc/${process.ppid}/fd/${fd}`, "r+"), shape);
  }

  /** Pins the ring for the copier's driver, once. Where that fails, copies work all the same, at a fraction of the speed. */
  async pin(copier: DeviceCopier): Promise<void> {
    const known = this.#pins.get(copier);
    const pinning = known ?? this.#pinNow(copier);
    if (known === undefined) this.#pins.set(copier, pinning);
    await pinning;
  }

  /** Keeps the ring open until the copy has ended. */
  use(copy: Promise<void>): Promise<void> {
    return this.#copies.run(copy);
  }

  /** Waits for what is copied into it. */
  async close(): Promise<void> {
    await this.#copies.ended();
    const unpinned = [...this.#pins].map(async ([copier, pinning]) => {
      if (await pinning) await copier.unregister(this.ring);
    });
    await Promise.allSettled(unpinned);
    this.ring.close();
  }

  async #pinNow(copier: DeviceCopier): Promise<boolean> {
    try {
      await copier.register(this.ring);
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#note(`a ring is not pinned, and copies into it are slow: ${reason}`);
      return false;
    }
  }
}
