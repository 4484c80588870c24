import { access, constants, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type Command, Option } from "commander";
import { UserError } from "../base/index.js";
import {
  type BenchmarkProgress,
  type BenchmarkResult,
  DATA_LOADERS,
  dataLoaderPlan,
  directoryPlan,
  measureBackend,
  renderBackendHtml,
  renderBackendText,
  renderHtml,
  runBenchmark,
} from "../benchmark/index.js";
import { type BenchFlags, type BenchSubject, benchmarkOptions, benchSubject } from "./bench/flags.js";
import { Interrupted, interruptible } from "./bench/interruption.js";
import { renderResult } from "./bench/render-result.js";
import { describeTargets } from "./bench/targets.js";
import type { SetExitCode } from "./program.js";
import { ProgressLine } from "./progress-line.js";

const EXAMPLES = `
Examples:
  podfs bench /workspace
  podfs bench /workspace --compare /mnt/nfs /tmp       side by side, with ratios
  podfs bench --quick --html bench.html /workspace
  podfs bench --size 4G --files 20000 --threads 16 /workspace
  podfs bench --data-loader images /workspace
  podfs bench --json /mnt/nfs | jq '.measurements[].id'
  podfs bench --backend 's3://bucket/prefix?region=us-east-1'

DIR may be any directory: a podfs mount, a network volume, a disk. All that is
written lies in DIR/.podfs-bench-XXXXXX, and is removed at the end, also after
Ctrl-C. A directory takes some two minutes, with --quick some twenty seconds;
more where fsync is slow. Directories to compare take turns, step by step.

Data loaders are --threads processes. "images" writes 100,000 files of 4 to 200
KiB (10 GB; less with --size or --files) and reads them twice in shuffled order;
"tokens" maps a file and copies 8 KiB windows from anywhere in it; "checkpoint"
saves --size in shards, alone and while images are read.`;

const WIDTH_DEFAULT = 100;
/** Of a backend that podfs cannot use. */
const EXIT_UNFIT = 1;

export function setUpBench(program: Command, setExitCode: SetExitCode): void {
  program
    .command("bench")
    .description("measure how fast a directory, or a backend, is")
    .argument("[DIR]", "where to measure")
    .option("--compare <dirs...>", "other directories to measure in turn with DIR")
    .option("--quick", "less of everything")
    .option("--size <size>", "of the large file, and of a checkpoint (default: 1G; quick: 256M)")
    .option("--files <count>", "how many small files, or images (default: 2000; quick: 1000)")
    .option("--threads <count>", "where several work at once (default: as many as cores, at most 8)")
    .option("--rounds <count>", "how often (default: 3; quick and data loaders: 1)")
    .option("--step-time <time>", "what one measurement may take (default: 1s; quick: 400ms)")
    .addOption(new Option("--data-loader <kind>", "measure what training does instead").choices(DATA_LOADERS))
    .option("--backend <url>", "measure an object store, or a directory as one, instead")
    .option("--json", "print the result as JSON")
    .option("--html <file>", "write the result as a page with plots, too")
    .addHelpText("after", EXAMPLES)
    .action(async (directory: string | undefined, flags: BenchFlags) => {
      const subject = benchSubject(directory, flags);
      if (flags.html !== undefined) await checkWritable(flags.html);
      try {
        const outcome = await watched((watch) => measure(subject, flags, watch));
        await report(outcome, flags);
        setExitCode(outcome.exitCode);
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error;
        process.stderr.write(`podfs: ${error.message}\n`);
        setExitCode(error.exitCode);
      }
    });
}

/** What was measured, in each form it can be asked for. */
interface Outcome {
  readonly result: BenchmarkResult;
  readonly exitCode: number;
  text(): string;
  html(): string;
}

interface Watch {
  readonly signal: AbortSignal;
  readonly progress: ProgressLine;
  /** Something the user should know. */
  readonly say: (text: string) => void;
}

/** Shows progress, and ends in order when told to. */
async function watched(work: (watch: Watch) => Promise<Outcome>): Promise<Outcome> {
  const progress = new ProgressLine();
  const say = (text: string): void => {
    progress.clear();
    process.stderr.write(`podfs: ${text}\n`);
  };
  try {
    return await interruptible((signal) => work({ signal, progress, say }), {
      onFirst: () => say("stopping, and removing what was written; again to stop at once"),
      onForced: () => say("stopped; what was written is left: see podfs-bench-* where it was measured"),
    });
  } finally {
    progress.clear();
  }
}

function measure(subject: BenchSubject, flags: BenchFlags, watch: Watch): Promise<Outcome> {
  switch (subject.type) {
    case "directories":
      return measureDirectories(subject.directories, flags, watch);
    case "backend":
      return measureBackendAt(subject.url, flags, watch);
  }
}

async function measureDirectories(
  names: readonly string[],
  flags: BenchFlags,
  { signal, progress, say }: Watch,
): Promise<Outcome> {
  const options = benchmarkOptions(flags);
  const { dataLoader } = flags;
  const plan = dataLoader === undefined ? directoryPlan(options) : dataLoaderPlan(dataLoader, options);
  const onProgress = (now: BenchmarkProgress): void => progress.show(describeProgress(now));
  const watch = { signal, onProgress, onNotice: say };
  const result = await runBenchmark(await describeTargets(names), plan, options, watch);
  const text = (): string => renderResult(result, process.stdout.columns ?? WIDTH_DEFAULT);
  return { result, exitCode: 0, text, html: () => renderHtml(result) };
}

async function measureBackendAt(url: string, flags: BenchFlags, { signal, progress, say }: Watch): Promise<Outcome> {
  const result = await measureBackend({
    ...{ url, quick: flags.quick ?? false, signal, onNotice: say },
    onProgress: ({ step, steps, title }) => progress.show(`${step} of ${steps}: ${title}`),
  });
  const works = result.checks.every(({ outcome }) => outcome !== "failed");
  const text = (): string => renderBackendText(result);
  return { result, exitCode: works ? 0 : EXIT_UNFIT, text, html: () => renderBackendHtml(result) };
}

function describeProgress({ step, steps, target, title, operations }: BenchmarkProgress): string {
  const done = operations === 0 ? "" : ` (${operations.toLocaleString("en-US")})`;
  return `${step} of ${steps}: ${title}${done}, ${target}`;
}

async function report({ result, text, html }: Outcome, flags: BenchFlags): Promise<void> {
  process.stdout.write(flags.json === true ? `${JSON.stringify(result, null, 2)}\n` : text());
  if (flags.html === undefined) return;
  await writeFile(flags.html, html());
  process.stderr.write(`podfs: ${flags.html} has the plots\n`);
}

/** Now, rather than after minutes. @throws UserError */
async function checkWritable(file: string): Promise<void> {
  await access(dirname(resolve(file)), constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    throw new UserError(`--html: ${file} cannot be written: ${error.message}`, error);
  });
}
