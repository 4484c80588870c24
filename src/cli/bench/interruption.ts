import { constants } from "node:os";
import { BenchmarkError } from "../../benchmark/index.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a shell shows for a program that a signal has ended. */
const SIGNAL_EXIT_CODE = 128;

export class Interrupted extends BenchmarkError {
  readonly exitCode: number;
  constructor(signal: (typeof SIGNALS)[number]) {
    super("interrupted", "interrupted; what it had written is removed");
    this.exitCode = SIGNAL_EXIT_CODE + constants.signals[signal];
  }
}

/**
 * Runs something that a signal ends in an orderly way: the first aborts `signal` with {@link Interrupted}, the second ends the
 * process at once, after `onForced`.
 */
export async function interruptible<T>(
  use: (signal: AbortSignal) => Promise<T>,
  { onFirst, onForced }: { readonly onFirst: () => void; readonly onForced: () => void },
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => {
    for (const name of SIGNALS) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (!controller.signal.aborted) {
      controller.abort(new Interrupted(name as (typeof SIGNALS)[number]));
      onFirst();
      return;
    }
    stop();
    onForced();
    // Without handlers, that is the end: process.exit() would wait for system calls that may hang.
    process.kill(process.pid, name);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await use(controller.signal);
  } finally {
    stop();
  }
}
