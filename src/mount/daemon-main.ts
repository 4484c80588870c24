/** The process that `podfs mount` leaves behind: takes its options from there, reports there, serves. */
import type { DaemonMessage, DaemonModule, LaunchReporter, StartMessage } from "./launch-protocol.js";

async function main(): Promise<number> {
  const abandoned = new AbortController();
  const options = await receiveStart();
  const onDisconnect = (): void => abandoned.abort(new Error("podfs mount ended before the mount was ready"));
  process.once("disconnect", onDisconnect);
  const reporter: LaunchReporter = {
    progress: (text) => void send({ type: "progress", text }),
    ready: (summary) => {
      process.removeListener("disconnect", onDisconnect);
      void send({ type: "ready", summary }).then(disconnect);
    },
  };
  try {
    const daemon: DaemonModule = await import("./daemon.js");
    return await daemon.runDaemon(options, reporter, abandoned.signal);
  } catch (error) {
    if (!process.connected) throw error;
    process.removeListener("disconnect", onDisconnect);
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    await send({ type: "failed", message, ...(stack === undefined ? {} : { detail: stack }) });
    disconnect();
    return 1;
  }
}

function receiveStart(): Promise<StartMessage["options"]> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) {
      reject(new Error("this program is started by podfs mount; run podfs mount --foreground instead"));
      return;
    }
    process.once("message", (message: StartMessage) => resolve(message.options));
  });
}

/** Resolves when the message has left, or cannot: nobody listens any more. */
function send(message: DaemonMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

function disconnect(): void {
  if (process.connected) process.disconnect();
}

process.exit(await main());
