import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Deferred, InvariantError, ignore } from "../../base/index.js";
import type { LoopResult } from "../../native/index.js";
import { BenchmarkError } from "../errors.js";
import { completeSpec, type LoopRequest, type LoopWatch } from "../native-loop.js";
import { mergeLatencies } from "../report/latencies.js";
import type { LoaderReply, LoaderRequest } from "./loader-protocol.js";

/** Several processes that each run a native loop, and are gone when this is over. */
export class LoaderProcesses {
  readonly #processes: readonly LoaderProcess[];
  readonly #watch: LoopWatch;

  private constructor(processes: readonly LoaderProcess[], watch: LoopWatch) {
    this.#processes = processes;
    this.#watch = watch;
  }

  /** @throws BenchmarkError; the signal's reason. What the processes do is ended with `use`. */
  static async with<T>(count: number, watch: LoopWatch, use: (all: LoaderProcesses) => Promise<T>): Promise<T> {
    watch.signal.throwIfAborted();
    const processes = Array.from({ length: count }, () => new LoaderProcess());
    const all = new LoaderProcesses(processes, watch);
    const onAbort = (): void => all.cancel();
    watch.signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.all(processes.map((process) => process.ready));
      return await use(all);
    } finally {
      watch.signal.removeEventListener("abort", onAbort);
      await Promise.all(processes.map((process) => process.end()));
    }
  }

  /**
   * Runs the loop in all processes at once.
   * @param request what number `share` of them does; they share what it names, if it leaves that open
   * @returns what they did together; `seconds` are the slowest one's.
   */
  async run(request: (share: number) => LoopRequest): Promise<LoopResult> {
    const { signal, onOperations } = this.#watch;
    signal.throwIfAborted();
    const shares = this.#processes.length;
    const report = (): void => onOperations?.(this.#processes.reduce((sum, { operations }) => sum + operations, 0));
    const runs = this.#processes.map((process, share) => process.run({ share, shares, ...request(share) }, report));
    const results = await Promise.all(runs).finally(() => signal.throwIfAborted());
    return combine(results);
  }

  /** Ends what runs: its result is what was done by then. */
  cancel(): void {
    for (const process of this.#processes) process.send({ type: "cancel" });
  }
}

class LoaderProcess {
  readonly #child: ChildProcess;
  readonly #ready = new Deferred();
  readonly #ended = new Deferred();
  #result: Deferred<LoopResult> | undefined;
  #onProgress: () => void = ignore;
  /** Of what runs, as last heard. */
  operations = 0;

  constructor() {
    // Not with this process's own options, which may be a debugger's.
    this.#child = fork(workerFile(), [], { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child.on("message", (reply: LoaderReply) => this.#take(reply));
    this.#child.on("error", (error) => this.#end(`a loader process could not be started: ${error.message}`));
    // Not "close": Node 20 never emits that once this side has disconnected.
    this.#child.on("exit", (code, signal) => this.#end(`a loader process ended (${signal ?? `exit code ${code}`})`));
    // It is looked at when something waits for it.
    this.#ready.promise.catch(ignore);
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  run(request: LoopRequest, onProgress: () => void): Promise<LoopResult> {
    const result = new Deferred<LoopResult>();
    this.#result = result;
    this.#onProgress = onProgress;
    this.operations = 0;
    this.send({ type: "run", spec: completeSpec(request) });
    return result.promise;
  }

  send(request: LoaderRequest): void {
    // One that has ended has failed, or is about to be found.
    if (this.#child.connected) this.#child.send(request, ignore);
  }

  /** Resolves when the process is gone. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#ended.promise;
  }

  #take(reply: LoaderReply): void {
    switch (reply.type) {
      case "ready":
        this.#ready.resolve();
        break;
      case "progress":
        this.operations = reply.operations;
        this.#onProgress();
        break;
      case "done":
        this.#result?.resolve(reply.result);
        break;
      case "failed": {
        const cause = Object.assign(new Error(reply.message), { code: reply.code });
        this.#result?.reject(new BenchmarkError("failed", reply.message, { cause }));
        break;
      }
    }
  }

  #end(message: string): void {
    const error = new BenchmarkError("failed", message);
    this.#ready.reject(error);
    this.#result?.reject(error);
    this.#ended.resolve();
  }
}

function combine(results: readonly LoopResult[]): LoopResult {
  const sum = (of: (result: LoopResult) => number): number => results.reduce((total, next) => total + of(next), 0);
  const most = (of: (result: LoopResult) => number): number => Math.max(...results.map(of));
  const none = { count: 0, minNs: 0, meanNs: 0, maxNs: 0, buckets: [] };
  return {
    operations: sum(({ operations }) => operations),
    operationsMin: Math.min(...results.map(({ operationsMin }) => operationsMin)),
    amount: sum(({ amount }) => amount),
    seconds: most(({ seconds }) => seconds),
    syncSeconds: most(({ syncSeconds }) => syncSeconds),
    latencies: mergeLatencies(results.map(({ latencies }) => latencies)) ?? none,
  };
}

/** Compiled, beside this file or, where the tests run from the sources, in the build. */
function workerFile(): string {
  const beside = fileURLToPath(new URL("./loader-worker.js", import.meta.url));
  const built = fileURLToPath(new URL("../../../dist/benchmark/data-loader/loader-worker.js", import.meta.url));
  const found = [beside, built].find((path) => existsSync(path));
  if (found === undefined) throw new InvariantError(`${built} is not there: build first`);
  return found;
}
