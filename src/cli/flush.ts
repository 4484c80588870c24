import type { Command } from "commander";
import { formatDuration } from "../base/index.js";
import { processEnvironment, stateDirectory } from "../config/index.js";
import { callMount, type DrainProgress, resolveMountpoint } from "../mount/index.js";
import { filesAndBytes } from "./count.js";
import { ProgressLine } from "./progress-line.js";

const EXAMPLES = `
Examples:
  podfs flush /workspace
  python train.py && podfs flush /workspace

Waits for as long as it takes: a backend that is down is tried again until it is
back. Ctrl-C stops waiting, not uploading.`;

export function setUpFlush(program: Command): void {
  program
    .command("flush")
    .description("wait until everything written so far is durable in the volume")
    .argument("MOUNTPOINT", "where the volume is mounted")
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (path: string, flags: { readonly json?: boolean }) => {
      const mountpoint = await resolveMountpoint(path);
      const progress = new ProgressLine();
      const stateDir = stateDirectory(processEnvironment());
      const onProgress = (left: DrainProgress): void =>
        progress.show(`flushing ${mountpoint}: ${filesAndBytes(left)} to upload`);
      const report = await callMount(mountpoint, { command: "flush" }, { stateDir, onProgress }).finally(() =>
        progress.clear(),
      );
      process.stdout.write(
        flags.json === true
          ? `${JSON.stringify({ mountpoint, ...report })}\n`
          : `${mountpoint}: everything is in the volume (${formatDuration(report.durationMs)})\n`,
      );
    });
}
