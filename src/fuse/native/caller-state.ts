import { readFile } from "node:fs/promises";
import { constants } from "node:os";

const { SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH } = constants.signals;
/** What does not end a process that has no handler for it. */
const HARMLESS = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH].reduce(
  (mask, signal) => mask | bitOf(signal),
  0n,
);

function bitOf(signal: number): bigint {
  return 1n << BigInt(signal - 1);
}

/**
 * Whether a thread that waits for us is about to be killed, as far as /proc tells. A thread that is gone, or in a
 * process namespace we cannot see into (pid 0), counts as killed.
 */
export async function isBeingKilled(pid: number): Promise<boolean> {
  if (pid === 0) return true;
  try {
    return hasFatalSignal(await readFile(`/proc/${pid}/status`, "latin1"));
  } catch {
    return true;
  }
}

/** @param status the text of /proc/PID/status, proc_pid_status(5) */
export function hasFatalSignal(status: string): boolean {
  const mask = (name: string) => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? "0"}`);
  const pending = mask("SigPnd") | mask("ShdPnd");
  return (pending & ~(mask("SigBlk") | mask("SigIgn") | mask("SigCgt") | HARMLESS)) !== 0n;
}
