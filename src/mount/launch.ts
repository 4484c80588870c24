import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { UserError } from "../base/index.js";
import type { MountOptions } from "../config/index.js";
import type { DaemonMessage, MountSummary, StartMessage } from "./launch-protocol.js";
import { SERVER_SWITCHES, serverEnvironment } from "./server-process.js";
import { prepareStateDirectory } from "./state-directory.js";

export interface LaunchOptions {
  readonly onProgress?: (text: string) => void;
  /** Aborts: the process is told to end, and is waited for. */
  readonly signal?: AbortSignal;
  /** The program to start; for tests. */
  readonly entry?: string;
}

const DAEMON_ENTRY = fileURLToPath(new URL("./daemon-main.js", import.meta.url));

/**
 * Starts a process of its own that serves the mount, and waits until the mount answers. The process outlives this one
 * from then on.
 * @throws UserError with the reason the process gave, or how it ended.
 */
export async function launchDaemon(options: MountOptions, launch: LaunchOptions = {}): Promise<MountSummary> {
  const paths = await prepareStateDirectory(options.stateDir, options.mountpoint, hostname());
  const stderr = await open(paths.stderr, "w", 0o600);
  try {
    const child = spawn(process.execPath, [...SERVER_SWITCHES, launch.entry ?? DAEMON_ENTRY], {
      // Away from here: a daemon must not keep somebody's directory busy, nor share its terminal's signals.
      cwd: "/",
      env: serverEnvironment(process.env),
      detached: true,
      stdio: ["ignore", stderr.fd, stderr.fd, "ipc"],
    });
    const message = await settle(child, options, launch);
    if (message.type === "failed") throw new UserError(message.message, message.detail);
    return message.summary;
  } catch (error) {
    if (!(error instanceof UnexpectedEnd)) throw error;
    const said = lastLine(await readFile(paths.stderr, "utf8"));
    throw new UserError(`${error.message}${said === "" ? "" : `: ${said}`}; its log is ${paths.log}`, error);
  } finally {
    await stderr.close();
  }
}

/** The process ended without a word. */
class UnexpectedEnd extends Error {}

type FinalMessage = Exclude<DaemonMessage, { readonly type: "progress" }>;

function settle(child: ChildProcess, options: MountOptions, launch: LaunchOptions): Promise<FinalMessage> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      child.kill("SIGTERM");
    };
    launch.signal?.addEventListener("abort", abort, { once: true });
    const finish = (): void => {
      launch.signal?.removeEventListener("abort", abort);
      if (child.connected) child.disconnect();
      child.unref();
    };
    child.on("message", (message: DaemonMessage) => {
      if (message.type === "progress") {
        launch.onProgress?.(message.text);
        return;
      }
      finish();
      resolve(message);
    });
    child.on("error", (error) => {
      finish();
      reject(new UserError(`cannot start the mount process: ${error.message}`, error));
    });
    // "close" rather than "exit": by then, all messages have been read.
    child.on("close", (code, signal) => {
      finish();
      reject(
        launch.signal?.aborted === true
          ? new UserError("interrupted before the mount was ready; nothing is mounted")
          : new UnexpectedEnd(`the mount process ended unexpectedly (${signal ?? `exit code ${code}`})`),
      );
    });
    const start: StartMessage = { type: "start", options };
    // If it cannot be sent, the process has ended already, and "close" says so.
    child.send(start, () => {});
    if (launch.signal?.aborted === true) abort();
  });
}

function lastLine(text: string): string {
  // Node ends its report of a crash with its version, which is not what went wrong.
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^Node\.js v|^\s+at /.test(line));
  return (lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1) ?? "").trim();
}
