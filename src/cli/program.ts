import { Command, CommanderError } from "commander";
import { setUpBench } from "./bench.js";
import { setUpCache } from "./cache.js";
import { setUpCheckpoint } from "./checkpoint.js";
import { setUpDoctor } from "./doctor.js";
import { setUpFlush } from "./flush.js";
import { setUpMount } from "./mount.js";
import { reportError, writeUsageError } from "./report-error.js";
import { setUpStatus } from "./status.js";
import { setUpUmount } from "./umount.js";
import { setUpVersion } from "./version.js";

const DESCRIPTION = `A /workspace for GPU pods: as fast as the pod's NVMe, as durable as its network or object storage.`;

const EXAMPLES = `
Examples:
  podfs mount --create /mnt/nfs/store /workspace      a volume in a directory
  podfs mount --create s3://bucket/prefix /workspace  a volume in a bucket
  podfs status /workspace                             what is not uploaded yet
  podfs umount /workspace                             upload the rest, unmount

podfs COMMAND --help has the options and examples of each command.
podfs setup builds podfs again, should an update of the system have broken it.`;

/**
 * Runs one command line.
 * @returns the exit code: 0, 1 when it could not be done, 2 when it makes no sense.
 */
export async function runProgram(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    // Commander has said what it had to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return reportError(error);
  }
}

/** How a command that did its work still ends with a code other than 0 (`doctor` that found a problem). */
export type SetExitCode = (code: number) => void;

function createProgram(setExitCode: SetExitCode): Command {
  const program = new Command("podfs").description(DESCRIPTION).addHelpText("after", EXAMPLES);
  program
    .usage("COMMAND [OPTIONS]")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [COMMAND]", "show help for a command")
    .exitOverride()
    // Subcommands take over what is configured here. That they have options goes without saying.
    .configureHelp({ subcommandTerm: (command) => `${command.name()} ${command.usage().replace("[options] ", "")}` })
    .configureOutput({ outputError: (text, write) => writeUsageError("podfs --help", text, write) });
  setUpMount(program, setExitCode);
  setUpUmount(program, setExitCode);
  setUpStatus(program);
  setUpFlush(program);
  setUpCache(program);
  setUpCheckpoint(program, setExitCode);
  setUpBench(program, setExitCode);
  setUpDoctor(program, setExitCode);
  setUpVersion(program);
  for (const command of program.commands) {
    const help = `podfs ${command.name()} --help`;
    command.configureOutput({ outputError: (text, write) => writeUsageError(help, text, write) });
  }
  return program;
}
