import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { orAborted } from "../base/index.js";
import type { LoopResult } from "../native/index.js";
import { type LoopRequest, type LoopWatch, randomSeed, runLoop } from "./native-loop.js";
import type { BenchmarkOptions } from "./options.js";
import type { Measurement, Sample } from "./result.js";

/** Makes reads cold that would be served by a cache this machine has. */
export interface ColdCache {
  /**
   * Makes what is below the paths (files, directories) durable, and empties caches of it.
   * @returns false if some of it stays in them.
   */
  drop(paths: readonly string[]): Promise<boolean>;
}

/** A directory to be measured. */
export interface BenchmarkDirectory {
  /** As the user wrote it. */
  readonly name: string;
  /** Absolute, without symlinks. */
  readonly path: string;
  readonly kind: string;
  readonly details: string;
  /**
   * How its caches are emptied: by its filesystem itself; as far as the kernel's page cache goes, by fadvise; or not at
   * all, and then it has no cold figures.
   */
  readonly cold: ColdCache | "page-cache" | "none";
}

export type MeasurementHead = Omit<Measurement, "samples">;
export type Reading = Pick<Sample, "value" | "latency"> & { readonly of: MeasurementHead };

/** One thing that is done for every directory in turn. */
export interface Step {
  /** For the line that shows progress. */
  readonly title: string;
  run(): Promise<readonly Reading[]>;
}

/** The steps of one round for one directory, the same number for all; they may build on what earlier ones left. */
export type Plan = (site: Site) => readonly Step[];

/** More of cached pages than this, and a read of them is not cold. */
const RESIDENT_SHARE_MAX = 0.05;

/** A directory while it is measured. */
export class Site {
  /** What could not be measured, and why. */
  readonly notes = new Set<string>();

  constructor(
    readonly target: BenchmarkDirectory,
    readonly options: BenchmarkOptions,
    /** Where everything is written; removed in the end. */
    readonly directory: string,
    readonly watch: LoopWatch,
  ) {}

  path(name: string): string {
    return join(this.directory, name);
  }

  run(request: LoopRequest): Promise<LoopResult> {
    return runLoop({ microsMax: this.options.stepMs * 1000, ...request }, this.watch);
  }

  /** Without a limit of time: for what later steps need all of. */
  runToEnd(request: LoopRequest): Promise<LoopResult> {
    return runLoop(request, this.watch);
  }

  /** For what several loops must agree on. */
  newSeed(): number {
    return randomSeed();
  }

  /** The directories `d0`, `d1` … that tree loops find their files in. */
  async makeTree(name: string, directories: number): Promise<string> {
    const path = this.path(name);
    await mkdir(path);
    for (let index = 0; index < directories; index++) {
      this.watch.signal.throwIfAborted();
      await mkdir(join(path, `d${index}`));
    }
    return path;
  }

  remove(name: string): Promise<void> {
    return rm(this.path(name), { recursive: true, force: true });
  }

  /**
   * Makes the next read of `request.path` cold.
   * @param request `drop`, or `drop-files` of a tree
   * @param bytes what is there
   * @returns false if that cannot be done here; noted.
   */
  async makeCold(request: LoopRequest, bytes: number): Promise<boolean> {
    const { cold } = this.target;
    if (cold === "none") return false;
    const isCold =
      cold === "page-cache"
        ? (await this.runToEnd(request)).amount <= bytes * RESIDENT_SHARE_MAX
        : await orAborted(cold.drop([request.path]), this.watch.signal);
    if (!isCold) this.notes.add("no cold figures: its cache cannot be emptied");
    return isCold;
  }
}
