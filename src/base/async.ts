import type { Clock } from "./clock.js";

/** A promise together with the functions that settle it. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T | PromiseLike<T>) => void;
  readonly reject: (reason: unknown) => void;

  constructor() {
    let resolvePromise: ((value: T | PromiseLike<T>) => void) | undefined;
    let rejectPromise: ((reason: unknown) => void) | undefined;
    this.promise = new Promise<T>((resolve, reject) => {
      resolvePromise = resolve;
      rejectPromise = reject;
    });
    this.resolve = (value) => resolvePromise?.(value);
    this.reject = (reason) => rejectPromise?.(reason);
  }
}

/**
 * Lets at most `countMax` tasks run at once; the others wait in the order they came.
 */
export class Limiter {
  readonly #countMax: number;
  // Invariant: nobody waits while #active < #countMax. Insertion order is the order of service.
  readonly #waiting = new Set<() => void>();
  #active = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a place. The caller must call what it gets exactly once (more calls do nothing).
   * @throws the signal's reason when it aborts before there is a place.
   */
  async acquire(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#active < this.#countMax) this.#active++;
    else await this.#wait(signal);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#release();
    };
  }

  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(signal);
    try {
      return await task();
    } finally {
      release();
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiting.delete(start);
        reject(signal?.reason as unknown);
      };
      this.#waiting.add(start);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#active--;
      return;
    }
    // The place passes on directly, so that a newcomer cannot overtake.
    this.#waiting.delete(next);
    next();
  }
}

/** Runs tasks of one key one after the other, in the order they came; tasks of different keys do not wait. */
export class KeyedQueue<Key> {
  readonly #tails = new Map<Key, Promise<unknown>>();

  /** Keys that have a task running or waiting. */
  get size(): number {
    return this.#tails.size;
  }

  async run<T>(key: Key, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const result = before === undefined ? task() : before.then(task);
    // A failed task is its caller's business; the next one runs all the same.
    const tail = result.then(ignore, ignore);
    this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}

/** Why {@link withTimeout} gave up. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
  constructor(
    what: string,
    readonly timeoutMs: number,
  ) {
    super(`${what} took longer than ${timeoutMs} ms`);
  }
}

export interface TimeoutOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Named in the error. */
  readonly what: string;
  /** The caller's own signal: its abort is passed on to the task. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a task with a signal that aborts when time is up, and does not wait for it any longer than that: a task that
 * ignores its signal is left behind, and what becomes of it is nobody's concern.
 * @throws TimeoutError when time is up; the signal's reason when the caller aborts.
 */
export async function withTimeout<T>(task: (signal: AbortSignal) => Promise<T>, options: TimeoutOptions): Promise<T> {
  const { clock, timeoutMs, what, signal } = options;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = clock.setTimer(timeoutMs, () => controller.abort(new TimeoutError(what, timeoutMs)));
  try {
    return await orAborted(task(controller.signal), controller.signal);
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Settles as `promise` does, or rejects with the signal's reason, whichever is first. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason as unknown);
    const settled = () => signal.removeEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(settled);
  });
}

/** Does nothing: for promises whose outcome somebody else handles. */
export function ignore(): void {}
