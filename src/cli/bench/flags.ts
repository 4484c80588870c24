import { formatBytes, parseSizeBytes, UserError } from "../../base/index.js";
import {
  type BenchmarkOptions,
  type DataLoader,
  defaultOptions,
  FILES_LIMIT,
  imagesOfSize,
  THREADS_LIMIT,
} from "../../benchmark/index.js";
import { ConfigError, duration } from "../../config/index.js";

/** The options of `podfs bench` as written on the command line. */
export interface BenchFlags {
  readonly compare?: readonly string[];
  readonly quick?: boolean;
  readonly size?: string;
  readonly files?: string;
  readonly threads?: string;
  readonly rounds?: string;
  readonly stepTime?: string;
  readonly dataLoader?: DataLoader;
  readonly backend?: string;
  readonly json?: boolean;
  readonly html?: string;
}

/** What is measured: directories side by side, or a backend. */
export type BenchSubject =
  | { readonly type: "directories"; readonly directories: readonly string[] }
  | { readonly type: "backend"; readonly url: string };

const MIB = 2 ** 20;
const ROUNDS_MAX = 100;
const STEP_MS_MIN = 10;
/** For directories only. */
const DIRECTORY_FLAGS = [
  ["compare", "--compare"],
  ["size", "--size"],
  ["files", "--files"],
  ["threads", "--threads"],
  ["rounds", "--rounds"],
  ["stepTime", "--step-time"],
  ["dataLoader", "--data-loader"],
] as const satisfies readonly (readonly [keyof BenchFlags, string])[];

/** @throws ConfigError when there is nothing to measure, or both kinds */
export function benchSubject(directory: string | undefined, flags: BenchFlags): BenchSubject {
  if (flags.backend !== undefined) {
    if (directory !== undefined) {
      throw new ConfigError("conflict", "a directory and --backend cannot be measured at once; name one of them");
    }
    const conflict = DIRECTORY_FLAGS.find(([key]) => flags[key] !== undefined);
    if (conflict !== undefined) throw new ConfigError("conflict", `${conflict[1]} is for directories, not --backend`);
    return { type: "backend", url: flags.backend };
  }
  if (directory === undefined || directory === "") {
    throw invalid("name the directory to measure, like /workspace, or a backend with --backend URL");
  }
  return { type: "directories", directories: [directory, ...(flags.compare ?? [])] };
}

/** @throws ConfigError */
export function benchmarkOptions(flags: BenchFlags): BenchmarkOptions {
  const defaults = defaultOptions(flags.quick ?? false, flags.dataLoader);
  const sizeBytes = size(flags.size) ?? defaults.sizeBytes;
  const bySize = flags.dataLoader === "images" && flags.size !== undefined ? imagesOfSize(sizeBytes) : defaults.files;
  const options = {
    sizeBytes,
    files: whole("--files", flags.files, FILES_LIMIT) ?? bySize,
    threads: whole("--threads", flags.threads, THREADS_LIMIT) ?? defaults.threads,
    rounds: whole("--rounds", flags.rounds, ROUNDS_MAX) ?? defaults.rounds,
    stepMs: flags.stepTime === undefined ? defaults.stepMs : duration("--step-time", flags.stepTime),
  };
  if (options.stepMs < STEP_MS_MIN) throw invalid(`--step-time: ${flags.stepTime} is too short to measure anything`);
  return options;
}

function size(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes < MIB) throw invalid(`--size: ${text} is too little to measure; give it at least ${formatBytes(MIB)}`);
  // Large files are written and read by the MiB.
  return Math.floor(bytes / MIB) * MIB;
}

function whole(option: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > most) {
    throw invalid(`${option}: "${text}" is not a whole number from 1 to ${most.toLocaleString("en-US")}`);
  }
  return number;
}

function parseSize(text: string): number {
  try {
    return parseSizeBytes(text, "--size");
  } catch (error) {
    throw error instanceof UserError ? invalid(error.message) : error;
  }
}

function invalid(message: string): ConfigError {
  return new ConfigError("invalid-option", message);
}
