import { type Clock, Deferred, type Ino, type OpSeq, PodfsError, shareLoop, type Timer } from "../base/index.js";
import { type MetadataLog, MetaError, type PendingOperation } from "../meta/index.js";
import type { Readiness } from "./content-coverage.js";
import { PublishError } from "./errors.js";
import type { PendingOperations } from "./pending-operations.js";
import { selectOperations } from "./selection.js";

/** Operations are shipped when nothing is being uploaded, or after this long: few, well-filled segments. */
const WAIT_MS_MAX = 5_000;
const DELAY_MS = 250;
const RETRY_MS = 1_000;

interface Waiter {
  /** Operations that are not shipped yet. */
  readonly needed: Set<OpSeq>;
  readonly done: Deferred;
}

export interface SegmentShipperParts {
  readonly log: MetadataLog;
  readonly clock: Clock;
  /** What is not shipped; what has been is taken out here. */
  readonly pending: PendingOperations;
  readonly readinessOf: (operation: PendingOperation) => Readiness;
  /** Nothing is being uploaded, or will be, whose content would fit the next segment. */
  readonly isQuiet: () => boolean;
  readonly onShipped: () => void;
  /** An operation that makes this file visible has been shipped. */
  readonly onContentShipped: (ino: Ino) => void;
  /** It goes on by itself. */
  readonly onError: (error: unknown) => void;
  readonly onLeaseLost: (error: MetaError) => void;
}

/**
 * Operations become segments here, one at a time, so that whatever waits while one is under way shares the next (group
 * commit).
 */
export class SegmentShipper {
  readonly #parts: SegmentShipperParts;
  readonly #waiters = new Set<Waiter>();
  #shipping = false;
  /** When somebody first asked for a segment, monotonic ms; undefined when nobody has. */
  #askedMs: number | undefined;
  #timer: Timer | undefined;
  #stopReason: PublishError | undefined;

  constructor(parts: SegmentShipperParts) {
    this.#parts = parts;
  }

  /** Whether somebody waits for operations: some that were not ready may be now. */
  get isAwaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** There is something to ship: at once when that is urgent or somebody waits, else when it is quiet. */
  ask(urgent: boolean): void {
    if (this.#stopReason !== undefined) return;
    const now = this.#parts.clock.monotonicMs();
    if (this.#shipping) this.#askedMs ??= now;
    else if (urgent) {
      this.#timer?.cancel();
      this.#askedMs ??= now;
      // What else comes in this turn of the event loop shares the segment.
      this.#timer = this.#parts.clock.setTimer(0, () => void this.#ship());
    } else if (this.#askedMs === undefined) {
      this.#askedMs = now;
      this.#timer = this.#parts.clock.setTimer(DELAY_MS, () => this.#shipWhenQuiet());
    }
  }

  /**
   * Resolves when these operations are in the volume.
   * @throws PublishError refused, when the backend does not take them, which may change; the reason of {@link stop}
   */
  async shipped(needed: Set<OpSeq>): Promise<void> {
    if (this.#stopReason !== undefined) throw this.#stopReason;
    for (const seq of needed) if (!this.#parts.pending.has(seq)) needed.delete(seq);
    if (needed.size === 0) return;
    const waiter: Waiter = { needed, done: new Deferred() };
    this.#waiters.add(waiter);
    this.ask(true);
    await waiter.done.promise;
  }

  /** No segment is begun any more. */
  stop(reason: PublishError): void {
    this.#stopReason = reason;
    this.#timer?.cancel();
    this.#rejectWaiters(reason);
  }

  #shipWhenQuiet(): void {
    const { clock, isQuiet } = this.#parts;
    const waited = clock.monotonicMs() - (this.#askedMs ?? 0);
    if (isQuiet() || waited >= WAIT_MS_MAX) void this.#ship();
    else this.#timer = clock.setTimer(DELAY_MS, () => this.#shipWhenQuiet());
  }

  async #ship(): Promise<void> {
    if (this.#shipping || this.#stopReason !== undefined) return;
    this.#shipping = true;
    this.#askedMs = undefined;
    let failed = false;
    try {
      const selected = await this.#select();
      if (selected.length > 0 && this.#stopReason === undefined) {
        await this.#parts.log.ship(selected);
        await this.#forget(selected);
        this.#parts.onShipped();
      }
    } catch (error) {
      failed = true;
      this.#failed(error);
    } finally {
      this.#shipping = false;
    }
    if (failed) this.#retry();
    else if (this.#askedMs !== undefined) {
      this.#askedMs = undefined;
      this.ask(this.isAwaited);
    }
  }

  #select(): Promise<OpSeq[]> {
    const { pending, readinessOf } = this.#parts;
    const needed = new Set<OpSeq>();
    for (const waiter of this.#waiters) for (const seq of waiter.needed) needed.add(seq);
    return selectOperations(pending.values(), readinessOf, needed);
  }

  async #forget(shipped: readonly OpSeq[]): Promise<void> {
    const { pending, onContentShipped } = this.#parts;
    for (const seq of shipped) {
      await shareLoop();
      const content = pending.get(seq)?.dependencies.content;
      pending.delete(seq);
      if (content !== undefined) onContentShipped(content);
    }
    for (const waiter of this.#waiters) {
      for (const seq of shipped) waiter.needed.delete(seq);
      if (waiter.needed.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.done.resolve();
    }
  }

  /** Who waits hears of it when waiting does not help. Nothing is lost, and it is tried again. */
  #failed(error: unknown): void {
    if (error instanceof MetaError && error.kind === "lease-lost") {
      this.#parts.onLeaseLost(error);
      return;
    }
    if (this.#stopReason !== undefined) return;
    this.#parts.onError(error);
    if (error instanceof PodfsError && !error.retryable) {
      this.#rejectWaiters(new PublishError("refused", error.message, { cause: error }));
    }
  }

  #retry(): void {
    if (this.#stopReason !== undefined) return;
    this.#askedMs = this.#parts.clock.monotonicMs();
    this.#timer = this.#parts.clock.setTimer(RETRY_MS, () => void this.#ship());
  }

  #rejectWaiters(reason: PublishError): void {
    for (const waiter of this.#waiters) waiter.done.reject(reason);
    this.#waiters.clear();
  }
}
