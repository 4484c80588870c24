import { connect } from "node:net";
import { encodeJsonLine, formatDuration, JsonLineParser } from "../base/index.js";
import { ControlError } from "./control-error.js";
import type {
  ControlCommand,
  ControlReply,
  ControlRequests,
  ControlResults,
  DrainProgress,
} from "./control-protocol.js";

export interface ControlCallOptions {
  /** Give up when nothing, not even progress, was heard for this long. Absent: wait for as long as it takes. */
  readonly timeoutMs?: number;
  readonly onProgress?: (progress: DrainProgress) => void;
  /** Resolve only when the mount has hung up, which it does at the latest when its process ends. */
  readonly untilClosed?: boolean;
}

/** How long a process that has unmounted may take to end; nothing depends on it any more. */
const END_TIMEOUT_MS = 10_000;

/**
 * Asks the mount that listens on `socketPath`.
 * @throws ControlError
 */
export function requestControl<Command extends ControlCommand>(
  socketPath: string,
  request: ControlRequests[Command] & { readonly command: Command },
  options: ControlCallOptions = {},
): Promise<ControlResults[Command]> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const parser = new JsonLineParser();
    let result: ControlResults[Command] | undefined;
    const fail = (error: ControlError): void => {
      socket.destroy();
      reject(error);
    };
    const onReply = (reply: ControlReply<Command>): void => {
      switch (reply.type) {
        case "progress":
          options.onProgress?.(reply.progress);
          return;
        case "error":
          fail(new ControlError(reply.kind, reply.message));
          return;
        case "result":
          result = reply.result;
          if (options.untilClosed === true) {
            socket.setTimeout(END_TIMEOUT_MS);
            return;
          }
          socket.destroy();
          resolve(result);
      }
    };
    socket.setEncoding("utf8");
    socket.setTimeout(options.timeoutMs ?? 0);
    socket.on("timeout", () => {
      const silence = formatDuration(socket.timeout ?? 0);
      if (result === undefined) fail(new ControlError("no-answer", `the mount has not answered for ${silence}`));
      else socket.destroy();
    });
    socket.on("connect", () => socket.write(encodeJsonLine(request)));
    socket.on("data", (text: string) => {
      try {
        for (const message of parser.push(text)) onReply(message as ControlReply<Command>);
      } catch (error) {
        fail(new ControlError("broken", "the mount's answer cannot be read", { cause: error }));
      }
    });
    // Once there is a result, however the connection ends is fine.
    const onEnd = (error: ControlError): void => (result === undefined ? fail(error) : resolve(result));
    socket.on("error", (error: NodeJS.ErrnoException) => onEnd(connectionError(error)));
    socket.on("close", () => onEnd(new ControlError("broken", "the mount ended before it had answered")));
  });
}

function connectionError(error: NodeJS.ErrnoException): ControlError {
  switch (error.code) {
    case "ENOENT":
    case "ECONNREFUSED":
      return new ControlError("not-running", "no mount answers there", { cause: error });
    case "EACCES":
    case "EPERM":
      return new ControlError("access-denied", "the mount belongs to another user", { cause: error });
    default:
      return new ControlError("broken", `the connection to the mount broke: ${error.message}`, { cause: error });
  }
}
