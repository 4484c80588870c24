import { PodfsError } from "../base/index.js";
import { ConfigError } from "../config/index.js";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/**
 * Says in one line what went wrong; where in the code, only with PODFS_DEBUG=1.
 * @returns the exit code.
 */
export function reportError(error: unknown): number {
  process.stderr.write(`podfs: ${oneLine(describe(error))}\n`);
  if (process.env.PODFS_DEBUG === "1") process.stderr.write(`${details(error)}\n`);
  return error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED;
}

/**
 * The same line for what commander finds wrong: "error: unknown option '--crate'\n(Did you mean --create?)".
 * @param help the command that would have said it.
 */
export function writeUsageError(help: string, text: string, write: (text: string) => void): void {
  const what = oneLine(text)
    .replace(/^error: /, "")
    .replace(/\.$/, "");
  write(`podfs: ${what}; see ${help}\n`);
}

function describe(error: unknown): string {
  if (error instanceof PodfsError) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return `${message} (podfs did not expect this; PODFS_DEBUG=1 shows where it happened)`;
}

function details(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return (error.stack ?? error.message) + (cause === undefined ? "" : `\ncaused by: ${details(cause)}`);
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
