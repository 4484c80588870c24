import { Deferred } from "../base/index.js";
import type { StagingAddon, StagingRing } from "../native/index.js";
import { StagingError } from "./errors.js";
import { type RingBudget, type RingGrant, SLOTS_MIN } from "./ring-budget.js";

/** A huge page, and what {@link StagingAddon.createRing} asks for. */
const SLOT_UNIT_BYTES = 2 << 20;
/** Larger ones gain nothing, and a pair of them should fit every budget. */
const SLOT_BYTES_MAX = 1 << 30;
/** What the client's threads fill; they are moved about. */
const ANY_NUMA_NODE = -1;

/**
 * The ring of one client, and which of its slots are ours just now.
 *
 * It is never shared, and never used for another client: whether a dead client's GPU still writes to it nobody knows, but
 * then it writes to memory that is nobody else's. The driver keeps the pages until it is done with them.
 *
 * Invariant: a slot is in #busy from the message that hands it over until what was asked for has settled.
 */
export class ClientRing {
  readonly ring: StagingRing;
  readonly #grant: RingGrant;
  readonly #busy = new Set<number>();
  #idle: Deferred | undefined;

  /** @throws StagingError protocol, no-memory */
  constructor(
    addon: Pick<StagingAddon, "createRing">,
    budget: RingBudget,
    wanted: { readonly slots: number; readonly slotBytes: number; readonly numaNode?: number },
  ) {
    const { slots, slotBytes, numaNode = ANY_NUMA_NODE } = wanted;
    if (slots < SLOTS_MIN || slotBytes === 0 || slotBytes % SLOT_UNIT_BYTES !== 0 || slotBytes > SLOT_BYTES_MAX) {
      throw new StagingError(
        "protocol",
        `a ring of ${slots} × ${slotBytes} bytes: at least ${SLOTS_MIN} slots, of a multiple of 2 MiB, at most 1 GiB`,
      );
    }
    this.#grant = budget.take(wanted);
    try {
      this.ring = addon.createRing({ slots: this.#grant.slots, slotBytes, numaNode });
    } catch (error) {
      this.#grant.release();
      const reason = error instanceof Error ? error.message : String(error);
      throw new StagingError("no-memory", `a ring cannot be made: ${reason}`, { cause: error });
    }
  }

  get bytes(): number {
    return this.ring.slots * this.ring.slotBytes;
  }

  /** The client hands a slot over. @throws StagingError protocol when there is none, or it is ours already */
  take(slot: number, length: number): void {
    const { slots, slotBytes } = this.ring;
    if (slot >= slots) throw new StagingError("protocol", `there is no slot ${slot}: the ring has ${slots}`);
    if (length > slotBytes) throw new StagingError("protocol", `${length} bytes in a slot of ${slotBytes}`);
    if (this.#busy.has(slot)) throw new StagingError("protocol", `slot ${slot} has not been given back yet`);
    this.#busy.add(slot);
  }

  giveBack(slot: number): void {
    this.#busy.delete(slot);
    if (this.#busy.size === 0) this.#idle?.resolve();
  }

  /** Resolves when no slot is in use any more, and the memory is free as far as this process goes. */
  async close(): Promise<void> {
    if (this.#busy.size > 0) {
      this.#idle = new Deferred();
      await this.#idle.promise;
    }
    this.ring.close();
    this.#grant.release();
  }
}
