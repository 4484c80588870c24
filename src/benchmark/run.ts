import { systemClock } from "../base/index.js";
import { PODFS_VERSION } from "../config/index.js";
import { BenchmarkError } from "./errors.js";
import { describeMachine } from "./machine.js";
import type { BenchmarkOptions } from "./options.js";
import { Recorder } from "./recorder.js";
import type { BenchmarkResult } from "./result.js";
import { type BenchmarkDirectory, type Plan, type Reading, Site, type Step } from "./site.js";
import { checkDirectory, checkSpace, leftovers, makeWorkspace, removeWorkspace } from "./workspace.js";

export interface BenchmarkProgress {
  readonly step: number;
  readonly steps: number;
  readonly round: number;
  readonly target: string;
  readonly title: string;
  /** Of this step, by now. */
  readonly operations: number;
}

export interface BenchmarkWatch {
  /** Aborts: what was written is removed, and then the reason is thrown. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BenchmarkProgress) => void;
  /** Something the user should know, for once. */
  readonly onNotice: (notice: string) => void;
}

/** What is measured, in this order. */
export interface BenchmarkPlan {
  readonly groups: readonly Plan[];
  /** The most that lies in a directory at any time. */
  readonly spaceBytes: number;
}

/** What a filesystem answers that does not know an operation at all; anything else is a failure. */
const UNSUPPORTED: ReadonlySet<string | undefined> = new Set([
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EPERM",
  "ENODEV",
  "EINVAL",
]);

/**
 * Measures directories side by side: each step is done by all of them before the next, in an order that changes with each
 * round, so that what disturbs the machine disturbs all of them. Leaves nothing behind, however it ends.
 * @throws BenchmarkError; the signal's reason
 */
export async function runBenchmark(
  targets: readonly BenchmarkDirectory[],
  plan: BenchmarkPlan,
  options: BenchmarkOptions,
  watch: BenchmarkWatch,
): Promise<BenchmarkResult> {
  const startedMs = systemClock.nowMs();
  const paths = targets.map(({ path }) => path);
  for (const path of paths) await checkDirectory(path);
  await checkSpace(paths, plan.spaceBytes);
  for (const left of (await Promise.all([...new Set(paths)].map(leftovers))).flat()) {
    watch.onNotice(`${left} is of a benchmark that was killed, or still runs; to remove it: rm -r ${left}`);
  }
  const run = new Run(options, watch);
  try {
    for (const target of targets) await run.enter(target);
    const recorder = new Recorder();
    await run.measure(plan.groups, recorder);
    return {
      formatVersion: 1,
      version: PODFS_VERSION,
      startedAt: new Date(startedMs).toISOString(),
      durationSeconds: (systemClock.nowMs() - startedMs) / 1000,
      machine: describeMachine(),
      targets: run.describeTargets(),
      measurements: recorder.measurements(),
    };
  } finally {
    await run.leave();
  }
}

class Run {
  readonly #options: BenchmarkOptions;
  readonly #watch: BenchmarkWatch;
  readonly #sites: Site[] = [];
  #progress: BenchmarkProgress = { step: 0, steps: 0, round: 0, target: "", title: "", operations: 0 };

  constructor(options: BenchmarkOptions, watch: BenchmarkWatch) {
    this.#options = options;
    this.#watch = watch;
  }

  async enter(target: BenchmarkDirectory): Promise<void> {
    const workspace = await makeWorkspace(target.path);
    const onOperations = (operations: number): void => this.#report({ operations });
    this.#sites.push(new Site(target, this.#options, workspace, { signal: this.#watch.signal, onOperations }));
  }

  /** What cannot be removed is said, and hides no error that came before. */
  async leave(): Promise<void> {
    for (const { directory, target } of this.#sites) {
      this.#report({ target: target.name, title: "cleaning up", operations: 0 });
      await removeWorkspace(directory).catch((error: Error) => this.#watch.onNotice(error.message));
    }
  }

  async measure(groups: readonly Plan[], recorder: Recorder): Promise<void> {
    const each = this.#sites.flatMap((site) => groups.map((group) => group(site).length));
    this.#report({ steps: each.reduce((sum, count) => sum + count, 0) * this.#options.rounds });
    for (let round = 0; round < this.#options.rounds; round++) {
      for (const group of groups) {
        const plans = this.#sites.map((site, target) => ({ site, target, steps: group(site) }));
        const count = plans[0]?.steps.length ?? 0;
        for (let index = 0; index < count; index++) {
          for (const { site, target, steps } of rotate(plans, round)) {
            const step = steps[index];
            if (step === undefined) continue;
            recorder.add(await this.#take(step, site, round), { target, round });
          }
        }
      }
    }
  }

  describeTargets(): BenchmarkResult["targets"] {
    return this.#sites.map(({ target: { name, kind, details }, notes }) => {
      return { name, kind, details: [details, ...notes].filter((text) => text !== "").join("; ") };
    });
  }

  async #take(step: Step, site: Site, round: number): Promise<readonly Reading[]> {
    this.#watch.signal.throwIfAborted();
    const next = this.#progress.step + 1;
    this.#report({ step: next, round, target: site.target.name, title: step.title, operations: 0 });
    try {
      return await step.run();
    } catch (error) {
      const code = codeOf(error);
      if (!UNSUPPORTED.has(code)) throw error;
      site.notes.add(`no ${step.title} (${code})`);
      return [];
    }
  }

  #report(change: Partial<BenchmarkProgress>): void {
    this.#progress = { ...this.#progress, ...change };
    this.#watch.onProgress(this.#progress);
  }
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof BenchmarkError) || error.kind !== "failed") return undefined;
  return (error.cause as NodeJS.ErrnoException | undefined)?.code;
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
