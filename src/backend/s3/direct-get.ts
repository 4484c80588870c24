import { Readable } from "node:stream";
import type { GetObjectCommand } from "@aws-sdk/client-s3";
import type { ConnectionTimeouts, Received } from "./direct/connection.js";
import { Connections, type SignedRequest } from "./direct/connections.js";

const MISFITS_MAX = 3;

/** What one GET has received without the SDK's HTTP client; undefined when that client was needed. */
export interface DirectBody {
  bytes: Uint8Array | undefined;
}

/**
 * GETs of large ranges whose bodies go into memory of the caller. The SDK makes, signs and interprets the request; only
 * the exchange itself is ours, and where an answer is not of the simple kind, that is the SDK's too. Why:
 * docs/decisions/0005.
 */
export class DirectGets {
  readonly #connections: Connections;
  /** Answers in a row that only the SDK's client could read. */
  #misfits = 0;

  constructor(timeouts: ConnectionTimeouts) {
    this.#connections = new Connections(timeouts);
  }

  /** Makes `command` leave its body in `into`. */
  attach(command: GetObjectCommand, into: Uint8Array, signal: AbortSignal | undefined): DirectBody {
    const direct: DirectBody = { bytes: undefined };
    command.middlewareStack.add(
      // Innermost of all: behind it is only the HTTP client.
      (next) => async (args) => {
        const received = await this.#exchange(args.request, into, signal);
        if (received === undefined) return await next(args);
        const { head, body } = received;
        const isSuccess = head.statusCode < 300;
        if (isSuccess) direct.bytes = body;
        // What the server says about an error is read by the SDK.
        const stream = Readable.from(isSuccess ? [] : [Buffer.from(body)]);
        const response = { statusCode: head.statusCode, headers: { ...head.headers }, body: stream };
        return { response } as Awaited<ReturnType<typeof next>>;
      },
      { step: "deserialize", priority: "low", name: "podfsDirectGet" },
    );
    return direct;
  }

  close(): void {
    this.#connections.close();
  }

  async #exchange(request: unknown, into: Uint8Array, signal: AbortSignal | undefined): Promise<Received | undefined> {
    // A server that never answers so is not asked twice for everything.
    if (this.#misfits >= MISFITS_MAX || !isSignedRequest(request)) return undefined;
    const received = await this.#connections.get(request, into, signal);
    this.#misfits = received === undefined ? this.#misfits + 1 : 0;
    return received;
  }
}

function isSignedRequest(request: unknown): request is SignedRequest {
  return typeof request === "object" && request !== null && "path" in request && "hostname" in request;
}
