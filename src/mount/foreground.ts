import type { MountOptions } from "../config/index.js";
import type { DaemonModule, LaunchReporter } from "./launch-protocol.js";

/**
 * Serves the mount in this process, which is what a container wants: one process, its signals, its exit code. Returns
 * when the mount is gone. {@link becomeServerProcess} comes first.
 * @throws whatever keeps it from mounting; nothing is left behind then.
 */
export async function runInForeground(options: MountOptions, reporter: LaunchReporter): Promise<number> {
  const daemon: DaemonModule = await import("./daemon.js");
  return daemon.runDaemon(options, reporter, new AbortController().signal);
}
