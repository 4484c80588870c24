import type { Command } from "commander";
import { formatBytes } from "../base/index.js";
import { type DropReport, dropCached } from "../mount/index.js";
import { count } from "./count.js";
import { writeUsageError } from "./report-error.js";

const EXAMPLES = `
Examples:
  podfs cache drop /workspace/datasets     a directory and all below it
  podfs cache drop /workspace              everything
  podfs cache drop --json model.safetensors

Only local copies go; the volume keeps everything. What is open, and what is not
uploaded yet, stays: podfs flush uploads it.`;

export function setUpCache(program: Command): void {
  const cache = program
    .command("cache")
    .description("what is cached on this machine: cache drop PATH… evicts it")
    .usage("drop PATH…")
    .addHelpText("after", EXAMPLES);
  cache
    .command("drop")
    .configureOutput({ outputError: (text, write) => writeUsageError("podfs cache drop --help", text, write) })
    .description("evict local copies of what the volume has, so that the next read fetches it")
    .argument("PATH...", "files or directories in a podfs mount; the mount point means everything")
    .option("--json", "print the result as JSON, sizes in bytes")
    .addHelpText("after", EXAMPLES)
    .action(async (paths: readonly string[], flags: { readonly json?: boolean }) => {
      const report = await dropCached(paths);
      process.stdout.write(flags.json === true ? `${JSON.stringify(report)}\n` : renderDrop(report));
    });
}

function renderDrop({ files, bytes, kept }: DropReport): string {
  const dropped = files === 0 ? "nothing to drop" : `dropped ${count(files, "file")} (${formatBytes(bytes)})`;
  const reasons = [
    ...(kept.notUploaded > 0 ? [`${count(kept.notUploaded, "file")} not uploaded yet`] : []),
    ...(kept.open > 0 ? [`${count(kept.open, "file")} open`] : []),
    ...(kept.fetching > 0 ? [`${count(kept.fetching, "file")} being fetched`] : []),
  ];
  return `${dropped}${reasons.length === 0 ? "" : `; kept ${reasons.join(", ")}`}\n`;
}
