import type { Clock, Timer } from "../../base/index.js";
import { isBeingKilled } from "./caller-state.js";

const LOOK_AGAIN_AFTER_MS = 200;

interface Waiting {
  readonly pid: number;
  readonly interrupt: () => void;
  /** True once the kernel has said that a signal came. */
  watched: boolean;
  timer: Timer | undefined;
}

export interface WaitingRequestsOptions {
  readonly clock: Clock;
  /** Injected by tests. */
  readonly isBeingKilled?: (pid: number) => Promise<boolean>;
}

/**
 * Requests that wait, and may be interrupted.
 *
 * The kernel says INTERRUPT at any signal, also at a timer's or a child's that its process handles and forgets. No local
 * filesystem fails open or fsync with EINTR for those, and programs (git, SQLite) do not expect it; but a process that
 * is being killed must not wait for a backend that is down. So only those are let go; and as the kernel speaks once per
 * request, one that was signalled is looked after until it is answered.
 */
export class WaitingRequests {
  readonly #clock: Clock;
  readonly #isBeingKilled: (pid: number) => Promise<boolean>;
  readonly #waiting = new Map<number, Waiting>();

  constructor(options: WaitingRequestsOptions) {
    this.#clock = options.clock;
    this.#isBeingKilled = options.isBeingKilled ?? isBeingKilled;
  }

  /** @param interrupt called at most once, and not after {@link remove} */
  add(unique: number, pid: number, interrupt: () => void): void {
    this.#waiting.set(unique, { pid, interrupt, watched: false, timer: undefined });
  }

  remove(unique: number): void {
    this.#waiting.get(unique)?.timer?.cancel();
    this.#waiting.delete(unique);
  }

  /** The kernel says that a signal came to who waits for `unique`. */
  signalled(unique: number): void {
    const waiting = this.#waiting.get(unique);
    if (waiting === undefined || waiting.watched) return;
    waiting.watched = true;
    void this.#look(unique, waiting);
  }

  /** Nobody waits any more: the session is over. */
  clear(): void {
    for (const unique of [...this.#waiting.keys()]) this.remove(unique);
  }

  async #look(unique: number, waiting: Waiting): Promise<void> {
    const killed = await this.#isBeingKilled(waiting.pid);
    if (this.#waiting.get(unique) !== waiting) return;
    if (!killed) {
      waiting.timer = this.#clock.setTimer(LOOK_AGAIN_AFTER_MS, () => void this.#look(unique, waiting));
      return;
    }
    this.remove(unique);
    waiting.interrupt();
  }
}
