import { type Clock, orAborted, systemClock } from "../../base/index.js";
import { BackendError, type BackendErrorKind } from "../backend-error.js";
import type { ObjectStore } from "../object-store.js";
import { StoreDecorator, type StoreRequest } from "./store-decorator.js";

/** What goes wrong with one request. */
export interface Fault {
  /** Waits this long first. */
  readonly latencyMs?: number;
  /** Fails with this kind… */
  readonly error?: BackendErrorKind;
  /** …before the request reaches the backend (the default), or after it was done, so that only the answer is lost. */
  readonly when?: "before" | "after";
  /** Never answers, until the caller aborts. */
  readonly hang?: boolean;
}

/**
 * Decides about each request; undefined lets it pass.
 * @param index How many requests came before.
 */
export type FaultPlan = (request: StoreRequest, index: number) => Fault | undefined;

/** A backend with troubles on order. For tests; no mount can be told to use it. */
export function withFaults(store: ObjectStore, plan: FaultPlan, clock: Clock = systemClock): ObjectStore {
  return new FaultyStore(store, plan, clock);
}

/** The first `count` requests that `matches` fail. */
export function failTimes(
  count: number,
  error: BackendErrorKind,
  matches: (request: StoreRequest) => boolean = () => true,
): FaultPlan {
  let left = count;
  return (request) => {
    if (left === 0 || !matches(request)) return undefined;
    left--;
    return { error };
  };
}

class FaultyStore extends StoreDecorator {
  readonly #plan: FaultPlan;
  readonly #clock: Clock;
  #requestCount = 0;

  constructor(inner: ObjectStore, plan: FaultPlan, clock: Clock) {
    super(inner);
    this.#plan = plan;
    this.#clock = clock;
  }

  protected override async around<T>(
    request: StoreRequest,
    run: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const { signal } = request;
    const fault = this.#plan(request, this.#requestCount++);
    if (fault === undefined) return await run(signal);
    const what = `${request.operation} ${request.key}`;
    try {
      if (fault.latencyMs !== undefined) await this.#clock.sleep(fault.latencyMs, signal);
      if (fault.hang) await orAborted(new Promise<never>(() => {}), signal);
    } catch (reason) {
      throw new BackendError("aborted", `${what}: aborted`, { cause: reason });
    }
    if (fault.error === undefined) return await run(signal);
    if (fault.when === "after") await run(signal);
    throw new BackendError(fault.error, `${what}: injected fault`);
  }
}
