import type { Command } from "commander";
import { formatBytes, PodfsError } from "../base/index.js";
import {
  type CheckpointInfo,
  checkpointsAt,
  listCheckpoints,
  parseCheckpointPath,
  removeCheckpoint,
  verifyCheckpoint,
} from "../checkpoint/index.js";
import { count } from "./count.js";
import type { SetExitCode } from "./program.js";
import { renderCheckpoints } from "./render-checkpoints.js";
import { writeUsageError } from "./report-error.js";

const EXAMPLES = `
Examples:
  podfs checkpoint ls /workspace/ckpt
  podfs checkpoint ls --json /workspace/ckpt | jq -r '.[0].name'   the newest
  podfs checkpoint verify /workspace/ckpt/step-1000
  podfs checkpoint verify /workspace/ckpt                          all in it
  podfs checkpoint rm /workspace/ckpt/step-100 /workspace/ckpt/step-200

A checkpoint is NAME.safetensors, or the files of several ranks and the index
NAME.safetensors.index.json; PATH is with or without these endings. Also works
where no podfs is mounted, and on safetensors files of other programs.`;

interface Flags {
  readonly json?: boolean;
}

export function setUpCheckpoint(program: Command, setExitCode: SetExitCode): void {
  const checkpoint = program
    .command("checkpoint")
    .description("list, verify and remove checkpoints (safetensors)")
    .usage("ls|verify|rm …")
    .addHelpText("after", EXAMPLES);
  subcommand(checkpoint, "ls", "list the checkpoints in a directory, newest first")
    .argument("[DIR]", "where they are", ".")
    .option("--json", "print as JSON, sizes in bytes and times in milliseconds since 1970")
    .action(async (directory: string, { json }: Flags) => {
      const checkpoints = await listCheckpoints(directory);
      print(json, checkpoints, () => renderCheckpoints(checkpoints));
    });
  subcommand(checkpoint, "verify", "read checkpoints to the last byte, and say whether they are whole")
    .argument("<PATH...>", "checkpoints, or directories of them")
    .option("--json", "print as JSON")
    .action(async (paths: readonly string[], { json }: Flags) => {
      const verdicts = await verifyAll(paths);
      print(json, verdicts, () => verdicts.map(renderVerdict).join(""));
      if (verdicts.some(({ problems }) => problems.length > 0)) setExitCode(1);
    });
  subcommand(checkpoint, "rm", "remove checkpoints, with the files of all ranks")
    .argument("<PATH...>", "checkpoints")
    .option("--json", "print as JSON, sizes in bytes")
    .action(async (paths: readonly string[], { json }: Flags) => {
      for (const path of paths) {
        const { directory, name } = parseCheckpointPath(path);
        const removal = await removeCheckpoint(directory, name);
        const { files, sizeBytes } = removal;
        print(json, { path, ...removal }, () => {
          return `removed ${name}: ${count(files.length, "file")}, ${formatBytes(sizeBytes)}\n`;
        });
      }
    });
}

function subcommand(parent: Command, name: string, description: string): Command {
  const help = `podfs checkpoint ${name} --help`;
  return parent
    .command(name)
    .description(description)
    .configureOutput({ outputError: (text, write) => writeUsageError(help, text, write) })
    .addHelpText("after", EXAMPLES);
}

interface PathVerdict {
  readonly path: string;
  /** Null where there is none. */
  readonly checkpoint: CheckpointInfo | null;
  readonly problems: readonly string[];
}

/** One that is not there keeps none of the others from being looked at. */
async function verifyAll(paths: readonly string[]): Promise<PathVerdict[]> {
  const verdicts: PathVerdict[] = [];
  for (const path of paths) {
    try {
      for (const found of await checkpointsAt(path)) {
        verdicts.push({ path: found.path, ...(await verifyCheckpoint(found.directory, found.name)) });
      }
    } catch (error) {
      if (!(error instanceof PodfsError)) throw error;
      verdicts.push({ path, checkpoint: null, problems: [error.message] });
    }
  }
  return verdicts;
}

function renderVerdict({ path, checkpoint, problems }: PathVerdict): string {
  if (checkpoint === null || problems.length > 0) return problems.map((problem) => `${path}: ${problem}\n`).join("");
  const { tensors, sizeBytes, ranks } = checkpoint;
  const files = ranks === 1 ? "" : ` in ${count(ranks, "file")}`;
  return `${path}: whole, ${count(tensors, "tensor")}${files}, ${formatBytes(sizeBytes)}\n`;
}

function print(json: boolean | undefined, value: unknown, text: () => string): void {
  process.stdout.write(json === true ? `${JSON.stringify(value)}\n` : text());
}
