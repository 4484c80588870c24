import type { Command } from "commander";
import { formatDuration } from "../base/index.js";
import { DRAIN_TIMEOUT_DEFAULT, duration, processEnvironment, stateDirectory } from "../config/index.js";
import {
  ControlError,
  callMount,
  detachMount,
  mountpointState,
  resolveMountpoint,
  type StopReport,
} from "../mount/index.js";
import { count, filesAndBytes } from "./count.js";
import type { SetExitCode } from "./program.js";
import { ProgressLine } from "./progress-line.js";

const EXAMPLES = `
Examples:
  podfs umount /workspace
  podfs umount --timeout 10m /workspace    give a slow network more time
  podfs umount --timeout 0 /workspace      upload nothing more
  podfs umount --force /workspace          its podfs hangs

What cannot be uploaded in time stays in the cache directory, and the next mount
of the volume with that cache directory uploads it; the exit code is then 1.
A mount whose podfs has died is cleaned away.`;

interface UmountFlags {
  readonly timeout: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** What is left to upload is reported at least once a second: a mount that is silent for this long hangs. */
const SILENCE_MS_MAX = 30_000;
const FORCED_SILENCE_MS_MAX = 5000;

export function setUpUmount(program: Command, setExitCode: SetExitCode): void {
  program
    .command("umount")
    .alias("unmount")
    .description("upload what is left, then unmount")
    .argument("MOUNTPOINT", "where the volume is mounted")
    .option("--timeout <time>", "how long to upload what is left", DRAIN_TIMEOUT_DEFAULT)
    .option("--force", "upload nothing more, and take the mount away even if its podfs does not answer")
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (path: string, flags: UmountFlags) => {
      const mountpoint = await resolveMountpoint(path);
      const report = await unmount(mountpoint, flags);
      if (flags.json === true) process.stdout.write(`${JSON.stringify({ mountpoint, ...report })}\n`);
      else printReport(mountpoint, report);
      if (report !== undefined && !isComplete(report)) setExitCode(1);
    });
}

/** @returns undefined when there was nobody to ask, and the mount was only taken away. */
async function unmount(mountpoint: string, flags: UmountFlags): Promise<StopReport | undefined> {
  const force = flags.force === true;
  const drainTimeoutMs = force ? 0 : duration("--timeout", flags.timeout);
  const progress = new ProgressLine();
  try {
    return await callMount(
      mountpoint,
      { command: "stop", drainTimeoutMs },
      {
        stateDir: stateDirectory(processEnvironment()),
        timeoutMs: force ? FORCED_SILENCE_MS_MAX : SILENCE_MS_MAX,
        untilClosed: true,
        onProgress: (left) => progress.show(`unmounting ${mountpoint}: ${filesAndBytes(left)} to upload`),
      },
    );
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (await mayDetach(error, mountpoint, force)) {
      await detachMount(mountpoint);
      return undefined;
    }
    throw error;
  } finally {
    progress.clear();
  }
}

async function mayDetach(error: ControlError, mountpoint: string, force: boolean): Promise<boolean> {
  const state = await mountpointState(mountpoint);
  if (state === "dead") return true;
  return force && state !== "free" && error.kind !== "access-denied" && error.kind !== "busy";
}

function printReport(mountpoint: string, report: StopReport | undefined): void {
  if (report === undefined) {
    process.stdout.write(
      `${mountpoint}: taken away; what its podfs had not uploaded is in its cache directory, for the next mount\n`,
    );
  } else if (isComplete(report)) {
    process.stdout.write(
      `${mountpoint}: unmounted, everything is in the volume (${formatDuration(report.durationMs)})\n`,
    );
  } else {
    const why = report.lastError === undefined ? "" : ` (${report.lastError})`;
    process.stderr.write(
      `podfs: unmounted ${mountpoint}, but ${whatIsLeft(report)} are not in the volume yet${why}; ` +
        `they are safe in ${report.cacheDir}, and the next mount with that --cache-dir uploads them\n`,
    );
  }
}

function isComplete({ pendingFiles, pendingOperations = 0 }: StopReport): boolean {
  return pendingFiles === 0 && pendingOperations === 0;
}

function whatIsLeft(report: StopReport): string {
  const { pendingFiles, pendingOperations = 0 } = report;
  return pendingFiles === 0 ? count(pendingOperations, "metadata change") : filesAndBytes(report);
}
