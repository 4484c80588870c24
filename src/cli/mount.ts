import type { Command } from "commander";
import { Option } from "commander";
import { formatBytes } from "../base/index.js";
import {
  DRAIN_TIMEOUT_DEFAULT,
  DURABILITIES,
  type MountFlags,
  type MountOptions,
  processEnvironment,
  resolveMountOptions,
  TRANSPORTS,
} from "../config/index.js";
import {
  becomeServerProcess,
  type LaunchReporter,
  launchDaemon,
  type MountSummary,
  resolveMountpoint,
  runInForeground,
} from "../mount/index.js";
import type { SetExitCode } from "./program.js";
import { ProgressLine } from "./progress-line.js";

const EXAMPLES = `
Examples:
  podfs mount --create /mnt/nfs/store /workspace
  podfs mount --create 's3://bucket/prefix?region=us-east-1' /workspace
  podfs mount 's3://bucket/prefix?endpoint=http://127.0.0.1:9000' /workspace
  podfs mount --cache-dir /local --cache-size 200G /mnt/nfs/store /workspace
  podfs mount --foreground --durability close s3://bucket/prefix /workspace
  podfs mount --read-only s3://bucket/prefix /mnt/dataset

VOLUME is a directory or s3://bucket/prefix. S3 credentials come from where the
AWS SDK looks for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, the
role of the instance. Sizes are written like 200G or 512MiB, times like 30s.`;

export function setUpMount(program: Command, setExitCode: SetExitCode): void {
  program
    .command("mount")
    .description("mount a volume on an empty directory")
    .argument("VOLUME", "where the volume is stored")
    .argument("MOUNTPOINT", "an empty directory, such as /workspace")
    .option("--create", "make the volume if there is none there yet")
    .option(
      "--cache-dir <path>",
      "where cached files lie, a directory for each volume (default: below ~/.cache/podfs, or /var/cache/podfs for root)",
    )
    .option("--cache-size <size>", "how much to cache at most (default: what the disk has)")
    .option("--free-space <size>", "how much of the disk to leave free (default: a tenth, at most 10G)")
    .option(
      "--staging-memory <size>",
      "memory for checkpoints on their way to the disk; 0: take none (default: a quarter of the machine's, at most 8G)",
    )
    .addOption(
      new Option(
        "--durability <when>",
        "what waits until data is in the volume: fsync, close as well, or (local) neither",
      )
        .choices(DURABILITIES)
        .default("fsync"),
    )
    .option("--read-only", "change nothing; needs no lease, so any number of pods may")
    .option("--foreground", "serve the mount in this process and log to the terminal")
    .addOption(new Option("--transport <name>", "what speaks to the kernel").choices(TRANSPORTS).default("native"))
    .option("--no-passthrough", "do not let the kernel read and write cached files by itself")
    .option("--allow-other", "let other users in")
    .option("--take-over", "take the volume from the pod that holds its lease, at once; that pod stops writing")
    .option("--timeout <time>", "how long to upload what is left when told to end", DRAIN_TIMEOUT_DEFAULT)
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (volume: string, mountpoint: string, flags: MountFlags & { readonly json?: boolean }) => {
      const path = mountpoint === "" ? "" : await resolveMountpoint(mountpoint);
      const options = resolveMountOptions(volume, path, flags, processEnvironment());
      const print = (summary: MountSummary): void => printSummary(summary, flags.json === true);
      if (options.foreground) setExitCode(await mountHere(options, print));
      else print(await mountInBackground(options));
    });
}

async function mountInBackground(options: MountOptions): Promise<MountSummary> {
  const progress = new ProgressLine();
  const abort = new AbortController();
  const onSignal = (): void => abort.abort();
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  try {
    progress.show(`mounting ${options.volumeUrl} …`);
    return await launchDaemon(options, { onProgress: (text) => progress.show(text), signal: abort.signal });
  } finally {
    progress.clear();
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

async function mountHere(options: MountOptions, print: (summary: MountSummary) => void): Promise<number> {
  becomeServerProcess();
  const progress = new ProgressLine();
  const reporter: LaunchReporter = {
    progress: (text) => progress.show(text),
    ready: (summary) => {
      progress.clear();
      print(summary);
    },
  };
  try {
    return await runInForeground(options, reporter);
  } finally {
    progress.clear();
  }
}

function printSummary(summary: MountSummary, json: boolean): void {
  for (const notice of summary.notices) process.stderr.write(`podfs: ${notice}\n`);
  process.stdout.write(`${json ? JSON.stringify(summary) : describeMount(summary)}\n`);
}

/** The one line: volume, backend, cache, transport, passthrough yes or no and, if no, why. */
export function describeMount(summary: MountSummary): string {
  const passthrough = summary.passthrough ? "passthrough yes" : `passthrough no (${summary.passthroughReason})`;
  return [
    `${summary.mountpoint}: volume ${summary.volumeUuid}${summary.readOnly ? ", read-only," : ""} in ${summary.backend}`,
    `cache ${summary.cacheDir} (${formatBytes(summary.cacheLimitBytes)})`,
    `transport ${summary.transport}`,
    passthrough,
  ].join("; ");
}
