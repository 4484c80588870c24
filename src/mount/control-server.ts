import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { encodeJsonLine, JsonLineParser, UserError } from "../base/index.js";
import { requestControl } from "./control-client.js";
import { ControlError } from "./control-error.js";
import type {
  ControlFailureKind,
  ControlReply,
  ControlRequest,
  ControlResults,
  DrainProgress,
} from "./control-protocol.js";

type OnProgress = (progress: DrainProgress) => void;

/** What a running mount can be asked. To refuse, throw {@link ControlError} `busy` or `failed`. */
export interface ControlHandlers {
  ping(): ControlResults["ping"];
  status(): ControlResults["status"];
  flush(onProgress: OnProgress): Promise<ControlResults["flush"]>;
  drop(paths: readonly string[]): Promise<ControlResults["drop"]>;
  stop(drainTimeoutMs: number, onProgress: OnProgress): Promise<ControlResults["stop"]>;
}

export interface ControlServer {
  /** Takes no more requests and removes the socket. Answers under way are still sent. */
  close(): Promise<void>;
}

const PROBE_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Listens on the control socket. A socket that a killed process left behind is replaced.
 * @param socketPath in a private directory.
 * @throws UserError when another mount answers there.
 */
export async function serveControl(socketPath: string, handlers: ControlHandlers): Promise<ControlServer> {
  if (await isServed(socketPath)) {
    throw new UserError(`another podfs already serves this mount point (it answers at ${socketPath})`);
  }
  await rm(socketPath, { force: true });
  const server = createServer((socket) => serveConnection(socket, handlers));
  await listen(server, socketPath);
  await chmod(socketPath, 0o600);
  return {
    // Not awaiting the connections: the one that asked to stop is still open, and ends with the process.
    close: async () => {
      server.close();
      server.unref();
      await rm(socketPath, { force: true });
    },
  };
}

async function isServed(socketPath: string): Promise<boolean> {
  try {
    await requestControl(socketPath, { command: "ping" }, { timeoutMs: PROBE_TIMEOUT_MS });
    return true;
  } catch (error) {
    if (error instanceof ControlError) return error.kind !== "not-running";
    throw error;
  }
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(
        new UserError(`cannot listen on ${socketPath}: ${error.message}; PODFS_STATE_DIR names another place`, error),
      );
    });
    server.listen(socketPath, resolve);
  });
}

function serveConnection(socket: Socket, handlers: ControlHandlers): void {
  const parser = new JsonLineParser();
  const reply = (message: ControlReply): void => {
    if (socket.writable) socket.write(encodeJsonLine(message));
  };
  socket.setEncoding("utf8");
  socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
  // A client that went away is no concern of the mount.
  socket.on("error", () => socket.destroy());
  socket.on("data", (text: string) => {
    const request = firstRequest(parser, text);
    if (request === undefined) return;
    socket.removeAllListeners("data");
    socket.resume();
    socket.setTimeout(0);
    void answer(request, handlers, reply).then((stopping) => {
      // A client that waits for the mount to be gone sees that by the connection's end, at the exit of this process.
      if (stopping) socket.unref();
      else socket.end();
    });
  });
}

function firstRequest(parser: JsonLineParser, text: string): unknown {
  try {
    return parser.push(text)[0];
  } catch {
    return null;
  }
}

/** @returns true when the mount was told to stop, and will. */
async function answer(
  request: unknown,
  handlers: ControlHandlers,
  reply: (message: ControlReply) => void,
): Promise<boolean> {
  try {
    const onProgress: OnProgress = (progress) => reply({ type: "progress", progress });
    const result = await perform(request, handlers, onProgress);
    reply({ type: "result", result });
    return "cacheDir" in result;
  } catch (error) {
    reply({ type: "error", ...failureOf(error) });
    return false;
  }
}

function failureOf(error: unknown): { readonly kind: ControlFailureKind; readonly message: string } {
  if (error instanceof ControlError && (error.kind === "busy" || error.kind === "unknown-command")) {
    return { kind: error.kind, message: error.message };
  }
  return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
}

/** @param request from another process, perhaps of another version: anything at all. */
function perform(
  request: unknown,
  handlers: ControlHandlers,
  onProgress: OnProgress,
): ControlResults[keyof ControlResults] | Promise<ControlResults[keyof ControlResults]> {
  const { command, drainTimeoutMs, paths } = (request ?? {}) as Partial<Record<string, unknown>>;
  switch (command as ControlRequest["command"]) {
    case "ping":
      return handlers.ping();
    case "status":
      return handlers.status();
    case "flush":
      return handlers.flush(onProgress);
    case "drop":
      return handlers.drop(isPaths(paths) ? paths : []);
    case "stop":
      return handlers.stop(typeof drainTimeoutMs === "number" ? Math.max(0, drainTimeoutMs) : 0, onProgress);
    default:
      throw new ControlError("unknown-command", `this mount does not know the command ${JSON.stringify(command)}`);
  }
}

function isPaths(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((path) => typeof path === "string");
}
