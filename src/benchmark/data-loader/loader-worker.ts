/**
 * A process of a data loader, as PyTorch starts them: it reads what it is told to, with the native loops, in a memory and
 * with descriptors of its own. It ends with the process that started it.
 */
import { ignore, systemClock } from "../../base/index.js";
import { type LoopSpec, loadAddon, type MeasuringLoop } from "../../native/index.js";
import type { LoaderReply, LoaderRequest } from "./loader-protocol.js";

const PROGRESS_INTERVAL_MS = 250;

let running: MeasuringLoop | undefined;

// Ctrl-C goes to all processes of a terminal's job; the one that started this one decides.
process.on("SIGINT", ignore);
process.on("disconnect", () => process.exit());
process.on("message", (request: LoaderRequest) => {
  if (request.type === "cancel") running?.cancel();
  else void run(request.spec);
});
// Loaded before the start, so that it is not measured.
loadAddon();
reply({ type: "ready" });

async function run(spec: LoopSpec): Promise<void> {
  const loop = loadAddon().measure(spec);
  running = loop;
  let timer = systemClock.setTimer(PROGRESS_INTERVAL_MS, function poll() {
    reply({ type: "progress", operations: loop.operations() });
    timer = systemClock.setTimer(PROGRESS_INTERVAL_MS, poll);
  });
  try {
    reply({ type: "done", result: await loop.done });
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    reply({ type: "failed", message, code });
  } finally {
    timer.cancel();
    running = undefined;
  }
}

function reply(message: LoaderReply): void {
  process.send?.(message);
}
