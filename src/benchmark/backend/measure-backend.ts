import { setMaxListeners } from "node:events";
import { BackendError, isBackendError } from "../../backend/index.js";
import { formatDuration, systemClock, TimeoutError, withTimeout } from "../../base/index.js";
import { PODFS_VERSION } from "../../config/index.js";
import { describeMachine } from "../machine.js";
import type { Measurement, Sample } from "../result.js";
import { CHECKS, type Check, type CheckSite } from "./checks.js";
import { type Effort, FULL, QUICK } from "./effort.js";
import { type BackendPlace, makePlace, removePlace } from "./place.js";
import type { BackendCheck, BackendResult } from "./result.js";
import { latencySteps, type Step, throughputSteps } from "./steps.js";

export interface BackendProgress {
  /** From 1. */
  readonly step: number;
  readonly steps: number;
  readonly title: string;
}

export interface BackendOptions {
  /** As for `podfs mount`: a directory or `s3://bucket/prefix`. */
  readonly url: string;
  /** Less of everything. */
  readonly quick: boolean;
  /** Ends it in order: what was written is removed all the same. */
  readonly signal: AbortSignal;
  onProgress?(progress: BackendProgress): void;
  /** Something was left in the backend. */
  onNotice?(message: string): void;
}

/** Somebody waits for the first answer: the SDK itself would go on trying. */
const FIRST_ANSWER_MS_MAX = 20_000;
const CHECK_MS_MAX = 120_000;

/**
 * Finds out which of podfs's needs a backend meets, and how fast it is. Everything it puts is below
 * `podfs-bench-<random>/`, and removed at the end, also when it fails or is told to stop.
 * @throws UserError, BackendError: one line when the backend cannot be used at all; the signal's reason.
 */
export async function measureBackend(options: BackendOptions): Promise<BackendResult> {
  const { url, quick, signal } = options;
  const startedMs = systemClock.nowMs();
  const place = await makePlace(url);
  try {
    const effort = quick ? QUICK : FULL;
    const run = new BackendRun(place, effort, options);
    const checks = await run.check();
    const measurements = await run.measure();
    const { kind } = place;
    return {
      formatVersion: 1,
      version: PODFS_VERSION,
      startedAt: new Date(startedMs).toISOString(),
      durationSeconds: (systemClock.nowMs() - startedMs) / 1000,
      machine: describeMachine(),
      targets: [{ name: place.url, kind, details: summarizeChecks(checks) }],
      ...{ measurements, checks },
    };
  } catch (error) {
    // A request that was under way has an error of its own to tell.
    signal.throwIfAborted();
    throw error;
  } finally {
    await removePlace(place, (message) => options.onNotice?.(message));
  }
}

class BackendRun {
  readonly #place: BackendPlace;
  readonly #effort: Effort;
  readonly #options: BackendOptions;
  readonly #signal: AbortSignal;
  readonly #steps: readonly Step[];
  #step = 0;

  constructor(place: BackendPlace, effort: Effort, options: BackendOptions) {
    this.#place = place;
    this.#effort = effort;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal]);
    // Every request under way listens to it: Node takes more than ten for a leak.
    setMaxListeners(0, this.#signal);
    this.#steps = [...latencySteps(place.store, effort), ...throughputSteps(place.store, effort)];
  }

  async check(): Promise<BackendCheck[]> {
    const checks: BackendCheck[] = [];
    for (const check of CHECKS) {
      this.#report(check.title);
      checks.push(await this.#checkOne(check, checks.length === 0));
    }
    return checks;
  }

  /** Rounds over all steps, not steps over all rounds: what disturbs for a while then disturbs them all. */
  async measure(): Promise<Measurement[]> {
    const samples = new Map<Step, Sample[]>(this.#steps.map((step) => [step, []]));
    for (let round = 0; round < this.#effort.rounds; round++) {
      for (const step of this.#steps) {
        this.#report(step.of.threads > 1 ? `${step.of.title}, ${step.of.threads} at once` : step.of.title);
        const taken = await step.run(this.#signal);
        samples.get(step)?.push({ target: 0, round, ...taken });
      }
    }
    return this.#steps.map((step) => ({ ...step.of, samples: samples.get(step) ?? [] }));
  }

  /** @throws when the first fails for a reason that has nothing to do with it: then there is nothing to measure. */
  async #checkOne({ run, ...check }: Check, isFirst: boolean): Promise<BackendCheck> {
    const signal = this.#signal;
    try {
      const finding = await withTimeout((limited) => run(this.#site(limited)), {
        clock: systemClock,
        timeoutMs: isFirst ? FIRST_ANSWER_MS_MAX : CHECK_MS_MAX,
        what: this.#place.url,
        signal,
      });
      return { ...check, ...finding };
    } catch (error) {
      signal.throwIfAborted();
      if (isFirst && error instanceof TimeoutError) {
        const silence = formatDuration(FIRST_ANSWER_MS_MAX);
        throw new BackendError("unavailable", `${this.#place.url} has not answered for ${silence}`, { cause: error });
      }
      if (isFirst || isBackendError(error, "access-denied", "no-such-backend", "no-space")) throw error;
      return { ...check, outcome: "failed", detail: error instanceof Error ? error.message : String(error) };
    }
  }

  #site(signal: AbortSignal): CheckSite {
    return { store: this.#place.store, largeBytes: this.#effort.largeBytes, signal };
  }

  #report(title: string): void {
    this.#signal.throwIfAborted();
    const steps = CHECKS.length + this.#effort.rounds * this.#steps.length;
    this.#options.onProgress?.({ step: ++this.#step, steps, title });
  }
}

function summarizeChecks(checks: readonly BackendCheck[]): string {
  const count = (outcome: BackendCheck["outcome"]): number => checks.filter((one) => one.outcome === outcome).length;
  const parts = [`meets ${count("ok")} of podfs's ${checks.length} needs`];
  if (count("weak") > 0) parts.push(`${count("weak")} only with one writer at a time`);
  if (count("failed") > 0) parts.push(`${count("failed")} not at all`);
  return parts.join(", ");
}
