import { systemClock } from "../base/index.js";
import { type LoopResult, type LoopSpec, loadAddon } from "../native/index.js";
import { BenchmarkError } from "./errors.js";

/** A loop, as far as it differs from one pass of one thread over one block. */
export type LoopRequest = Pick<LoopSpec, "loop" | "path"> & Partial<LoopSpec>;

export interface LoopWatch {
  /** Aborts: the loop ends with the operation it is in, and {@link runLoop} throws the signal's reason. */
  readonly signal: AbortSignal;
  /** Called now and then. */
  readonly onOperations?: (operations: number) => void;
}

const POLL_INTERVAL_MS = 200;
/** For as long as it takes. */
const UNLIMITED_MICROS = 86_400e6;
/** Seeds differ, so that what is written is new to a filesystem that keeps equal content once. */
const SEED_RANGE = 2 ** 48;

/**
 * Runs a native loop while the event loop stays free.
 * @throws BenchmarkError `failed`, whose cause has the system's `code`; the signal's reason
 */
export async function runLoop(request: LoopRequest, watch: LoopWatch): Promise<LoopResult> {
  watch.signal.throwIfAborted();
  const loop = loadAddon().measure(completeSpec(request));
  const onAbort = (): void => loop.cancel();
  watch.signal.addEventListener("abort", onAbort, { once: true });
  const report = (): void => watch.onOperations?.(loop.operations());
  let timer = systemClock.setTimer(POLL_INTERVAL_MS, function poll() {
    report();
    timer = systemClock.setTimer(POLL_INTERVAL_MS, poll);
  });
  try {
    const result = await loop.done;
    watch.signal.throwIfAborted();
    return result;
  } catch (error) {
    watch.signal.throwIfAborted();
    throw new BenchmarkError("failed", (error as Error).message, { cause: error });
  } finally {
    timer.cancel();
    watch.signal.removeEventListener("abort", onAbort);
  }
}

export function randomSeed(): number {
  return Math.floor(systemClock.random() * SEED_RANGE);
}

export function completeSpec(request: LoopRequest): LoopSpec {
  const blockSize = request.blockSize ?? 1;
  return {
    threads: 1,
    share: 0,
    shares: 1,
    blockSize,
    blockSizeMin: blockSize,
    fileSize: blockSize,
    files: 1,
    filesPerDirectory: 1,
    prefix: "f",
    shuffle: false,
    operationsMax: 0,
    repeat: false,
    microsMax: UNLIMITED_MICROS,
    seed: randomSeed(),
    ...request,
  };
}
