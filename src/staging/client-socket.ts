import type { Socket } from "node:net";
import { encodeJsonLine, JsonLineParser } from "../base/index.js";
import type { StagingAddon } from "../native/index.js";
import type { ClientConnection } from "./client-tools.js";
import { StagingError, stagingError } from "./errors.js";
import { parseMessage } from "./parse-message.js";
import { type ClientMessage, LINE_BYTES_MAX, type ServerMessage } from "./protocol.js";

/** A client that does not read what it is told is not one. */
const UNREAD_BYTES_MAX = 1 << 20;

export interface ClientSocketEvents {
  /** @throws StagingError: the connection is over, and {@link onEnd} comes next */
  onMessage(message: ClientMessage): void;
  /** Once; nothing comes any more. Without an error the client has hung up. */
  onEnd(error: StagingError | undefined): void;
}

/** One connection: lines to messages, and back. */
export class ClientSocket implements ClientConnection {
  readonly #socket: Socket;
  readonly #addon: Pick<StagingAddon, "sendDescriptor">;
  readonly #events: ClientSocketEvents;
  readonly #parser = new JsonLineParser(LINE_BYTES_MAX);
  #over = false;

  constructor(socket: Socket, addon: Pick<StagingAddon, "sendDescriptor">, events: ClientSocketEvents) {
    this.#socket = socket;
    this.#addon = addon;
    this.#events = events;
    socket.setEncoding("utf8");
    // Whatever is wrong with it, "close" follows.
    socket.on("error", () => socket.destroy());
    socket.on("data", (text: string) => this.#onData(text));
    socket.on("end", () => this.#end(undefined));
    socket.on("close", () => this.#end(undefined));
  }

  send(message: ServerMessage): void {
    if (!this.#socket.writable) return;
    this.#socket.write(encodeJsonLine(message));
    if (this.#socket.writableLength > UNREAD_BYTES_MAX) this.#socket.destroy();
  }

  sendRing(message: ServerMessage, fd: number): void {
    if (!this.#socket.writable) return;
    try {
      this.#addon.sendDescriptor(descriptorOf(this.#socket), Buffer.from(encodeJsonLine(message)), fd);
    } catch {
      // It has gone already.
      this.#socket.destroy();
    }
  }

  /** Sends what has been said, then hangs up. */
  close(): void {
    this.#over = true;
    this.#socket.end();
    // Nobody waits for a client that does not hang up as well.
    this.#socket.unref();
  }

  #onData(text: string): void {
    if (this.#over) return;
    try {
      for (const value of this.#parser.push(text)) {
        const message = parseMessage(value);
        if (message !== undefined) this.#events.onMessage(message);
      }
    } catch (error) {
      const failure = failureOf(error);
      this.send({ type: "refused", kind: failure.kind, message: failure.message });
      this.#end(failure);
      this.close();
    }
  }

  #end(error: StagingError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onEnd(error);
  }
}

function failureOf(error: unknown): StagingError {
  return error instanceof SyntaxError
    ? new StagingError("protocol", "a line is not JSON", { cause: error })
    : stagingError(error);
}

/** Node passes descriptors to its own children only; the number of its socket it keeps in the socket's handle. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: number } | null };
  return handle?.fd ?? -1;
}
