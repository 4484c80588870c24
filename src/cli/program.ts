import { Command, CommanderError } from "commander";
import { reportError, writeUsageError } from "./report-error.js";

const DESCRIPTION = `A /workspace for GPU pods: as fast as the pod's NVMe, as durable as its network or object storage.`;

const EXAMPLES = `
Examples:
  podfs mount --create /mnt/nfs/store /workspace      a volume in a directory
  podfs mount --create s3://bucket/prefix /workspace  a volume in a bucket
  podfs status /workspace                             what is not uploaded yet
  podfs umount /workspace                             upload the rest, unmount

podfs COMMAND --help has the options and examples of each command.
podfs setup builds podfs again, should an update of the system have broken it.`;

type SetUp = (program: Command, setExitCode: SetExitCode) => void;

/** In the order of the help. Each is loaded when it is asked for: loading all of them takes longer than most of them do. */
const COMMANDS: Readonly<Record<string, () => Promise<SetUp>>> = {
  mount: async () => (await import("./mount.js")).setUpMount,
  umount: async () => (await import("./umount.js")).setUpUmount,
  status: async () => (await import("./status.js")).setUpStatus,
  flush: async () => (await import("./flush.js")).setUpFlush,
  cache: async () => (await import("./cache.js")).setUpCache,
  checkpoint: async () => (await import("./checkpoint.js")).setUpCheckpoint,
  bench: async () => (await import("./bench.js")).setUpBench,
  doctor: async () => (await import("./doctor.js")).setUpDoctor,
  version: async () => (await import("./version.js")).setUpVersion,
};

/**
 * Runs one command line.
 * @returns the exit code: 0, 1 when it could not be done, 2 when it makes no sense.
 */
export async function runProgram(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  try {
    const program = await createProgram(args[0], (code) => {
      exitCode = code;
    });
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

/** @param name of the command that is asked for; all of them are set up for anything else */
async function createProgram(name: string | undefined, setExitCode: SetExitCode): Promise<Command> {
  const program = new Command("podfs").description(DESCRIPTION).addHelpText("after", EXAMPLES);
  program
    .usage("COMMAND [OPTIONS]")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [COMMAND]", "show help for a command")
    .exitOverride()
    // Subcommands take over what is configured here. That they have options goes without saying.
    .configureHelp({ subcommandTerm: (command) => `${command.name()} ${command.usage().replace("[options] ", "")}` })
    .configureOutput({ outputError: (text, write) => writeUsageError("podfs --help", text, write) });
  const asked = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  for (const load of asked === undefined ? Object.values(COMMANDS) : [asked]) {
    const setUp = await load();
    setUp(program, setExitCode);
  }
  for (const command of program.commands) {
    const help = `podfs ${command.name()} --help`;
    command.configureOutput({ outputError: (text, write) => writeUsageError(help, text, write) });
  }
  return program;
}
