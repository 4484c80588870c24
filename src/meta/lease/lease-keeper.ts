import { type Epoch, ignore, type SegmentSeq, type Timer } from "../../base/index.js";
import type { EpochStart, Lease } from "../../format/index.js";
import { MetaError } from "../meta-error.js";
import { acquireLease, describeHolder, isSameLease } from "./acquire-lease.js";
import { readLease, replaceLease, type StoredLease } from "./lease-object.js";
import { LEASE_TTL_MS, type LeaseOptions } from "./lease-options.js";

const RENEWALS_PER_TTL = 3;
const RENEW_ATTEMPTS_MAX = 3;

/** What the holder publishes with its lease. */
type LeaseContent = Pick<Lease, "beginsAt" | "checkpointSeq">;

/**
 * The writer's lease while it is held: renewed in time, checked around every segment, given back at the end.
 *
 * Invariants: once #lost is set nothing makes it undefined again, and no segment is acknowledged any more. Renewals
 * and checks run one after the other, so that two of them never race for the same object.
 */
export class LeaseKeeper {
  readonly #options: LeaseOptions;
  readonly #ttlMs: number;
  readonly #listeners: ((reason: string) => void)[] = [];
  #stored: StoredLease;
  #content: LeaseContent;
  #lost: MetaError | undefined;
  #released = false;
  #stopped = false;
  #renewedAtMs: number;
  #timer: Timer | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(options: LeaseOptions, stored: StoredLease) {
    this.#options = options;
    this.#ttlMs = options.ttlMs ?? LEASE_TTL_MS;
    this.#stored = stored;
    this.#content = stored.lease;
    this.#renewedAtMs = options.clock.monotonicMs();
    this.#schedule();
  }

  /** @throws MetaError lease-held. @throws BackendError */
  static async acquire(options: LeaseOptions, takeOver: boolean): Promise<LeaseKeeper> {
    return new LeaseKeeper(options, await acquireLease(options, takeOver));
  }

  get epoch(): Epoch {
    return this.#stored.lease.epoch;
  }

  get holder(): Lease["holder"] {
    return this.#stored.lease.holder;
  }

  get held(): boolean {
    return this.#lost === undefined && !this.#released;
  }

  get beginsAt(): readonly EpochStart[] {
    return this.#content.beginsAt;
  }

  onLost(listener: (reason: string) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Before anything is put: a holder that was stalled for longer than the lease lasts asks first whether it still is
   * the holder. @throws MetaError lease-lost. @throws BackendError
   */
  async ensure(): Promise<void> {
    this.#expectHeld();
    if (this.#sinceRenewalMs() > this.#ttlMs) await this.renew();
  }

  /**
   * After a segment was put: if the lease in the backend is still ours, the segment was there before anybody could
   * take over. @throws MetaError lease-lost. @throws BackendError
   */
  verify(): Promise<void> {
    return this.#exclusively(async () => {
      const found = await readLease(this.#options.store);
      this.#expectOurs(found);
    });
  }

  /** Writes the lease again, with a later expiry and new content. @throws MetaError lease-lost. @throws BackendError */
  renew(content: Partial<LeaseContent> = {}): Promise<void> {
    return this.#exclusively(async () => {
      this.#content = { ...this.#content, ...content };
      await this.#write(false);
    });
  }

  /** Records where this epoch's log begins: readers ignore what older writers put from there on. */
  async begin(segment: SegmentSeq, checkpointSeq: SegmentSeq | undefined): Promise<void> {
    // An epoch that shipped nothing begins where the next one does: it need not be remembered.
    const earlier = this.#content.beginsAt.filter((start) => start.seq < segment);
    await this.renew({ beginsAt: [...earlier, { epoch: this.epoch, seq: segment }], checkpointSeq });
  }

  stopRenewing(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Gives the lease back if it is still ours. Ends renewal in any case. @throws BackendError */
  async release(): Promise<void> {
    this.stopRenewing();
    if (!this.held) return;
    await this.#exclusively(() => this.#write(true)).catch((error: unknown) => {
      if (!(error instanceof MetaError && error.kind === "lease-lost")) throw error;
    });
    this.#released = true;
  }

  async #write(released: boolean): Promise<void> {
    const { store, clock } = this.#options;
    for (let attempt = 1; attempt <= RENEW_ATTEMPTS_MAX; attempt++) {
      const before = this.#expectOurs(await readLease(store));
      const askedAtMs = clock.monotonicMs();
      const nowMs = Math.floor(clock.nowMs());
      const times = { renewedAtMs: nowMs, expiresAtMs: nowMs + this.#ttlMs };
      const written = await replaceLease(store, before, { ...before.lease, ...this.#content, ...times, released });
      if (written === undefined) continue;
      this.#stored = written;
      // The lease lasts from when it was asked for, not from when the answer came.
      this.#renewedAtMs = askedAtMs;
      return;
    }
    throw this.#lose("somebody else keeps changing it");
  }

  #expectOurs(found: StoredLease | undefined): StoredLease {
    if (found !== undefined && isSameLease(found.lease, this.#stored.lease)) return found;
    const { clock } = this.#options;
    throw this.#lose(
      found === undefined ? "it was deleted" : `it was taken over by ${describeHolder(found.lease, clock.nowMs())}`,
    );
  }

  #lose(reason: string): MetaError {
    const { store } = this.#options;
    const error = new MetaError("lease-lost", `the right to write ${store.url} was lost: ${reason}`);
    if (this.#lost !== undefined) return this.#lost;
    this.#lost = error;
    this.#timer?.cancel();
    for (const listener of this.#listeners) listener(reason);
    return error;
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(this.#ttlMs / RENEWALS_PER_TTL, () => {
      // A backend that does not answer is not a lost lease: nobody else can take it there either. Try again.
      this.renew()
        .catch(ignore)
        .finally(() => {
          if (this.held && !this.#stopped) this.#schedule();
        });
    });
  }

  #exclusively<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => {
      this.#expectHeld();
      return task();
    });
    this.#tail = result.catch(ignore);
    return result;
  }

  #sinceRenewalMs(): number {
    return this.#options.clock.monotonicMs() - this.#renewedAtMs;
  }

  #expectHeld(): void {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#released) throw new MetaError("lease-lost", `the lease of ${this.#options.store.url} was given back`);
  }
}
