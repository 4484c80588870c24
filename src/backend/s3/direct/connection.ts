import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { HEAD_END, parseResponseHead, type ResponseHead } from "./response-head.js";

/** Where a connection leads. */
export interface Origin {
  readonly protocol: "http:" | "https:";
  readonly host: string;
  readonly port: number;
}

export interface ConnectionTimeouts {
  readonly connectTimeoutMs: number;
  /** No byte for this long ends the connection, also while it waits for its next request. */
  readonly idleTimeoutMs: number;
}

export interface Received {
  readonly head: ResponseHead;
  /** The start of the memory that was given. */
  readonly body: Uint8Array;
}

interface Exchange {
  readonly into: Uint8Array;
  readonly resolve: (received: Received | undefined) => void;
  readonly reject: (error: unknown) => void;
  head: ResponseHead | undefined;
  bodyLengthBytes: number;
  doneBytes: number;
}

/** A response head is some hundred bytes; what else comes with its first read is copied once more. */
const SCRATCH_BYTES = 16 << 10;

/**
 * One HTTP/1.1 connection that receives bodies straight into memory of the caller, with as few reads as the kernel
 * allows: `onread` of net.connect (Node docs). Node's own client makes a new buffer of 64 KiB for each read, and V8
 * collects garbage after every 64 MiB of those: docs/decisions/0005.
 *
 * Invariant: when there is no exchange, nothing of an earlier one is in the scratch buffer or on its way.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #scratchLength = 0;
  #exchange: Exchange | undefined;
  #open = true;
  #used = false;
  #heard = false;
  #wasStale = false;

  constructor(origin: Origin, { connectTimeoutMs, idleTimeoutMs }: ConnectionTimeouts) {
    const onread: OnReadOpts = {
      buffer: () => this.#target(),
      callback: (count) => {
        this.#received(count);
        return this.#open;
      },
    };
    const { protocol, host, port } = origin;
    this.#socket = protocol === "http:" ? connectTcp({ host, port, onread }) : openTls(host, port, onread);
    this.#socket.setNoDelay(true);
    this.#socket.setTimeout(connectTimeoutMs);
    this.#socket.once(protocol === "http:" ? "connect" : "secureConnect", () => this.#socket.setTimeout(idleTimeoutMs));
    this.#socket.on("timeout", () => this.destroy(failure("ETIMEDOUT", "nothing was heard from the server")));
    this.#socket.on("error", (error) => this.destroy(error));
    this.#socket.on("end", () => this.destroy(failure("ECONNRESET", "the server closed the connection")));
    this.#socket.on("close", () => this.destroy(failure("ECONNRESET", "the connection was closed")));
  }

  /** It can take a request. */
  get free(): boolean {
    return this.#open && this.#exchange === undefined;
  }

  /** It had carried exchanges, and closed before a byte of this one came: the server had given it up by then. */
  get wasStale(): boolean {
    return this.#wasStale;
  }

  /**
   * Sends a request without a body and receives the answer to it.
   * @param into Written to until the promise settles, and no longer.
   * @returns undefined when the answer is none that can be received here: the connection is closed then
   * @throws what the socket failed with; the signal's reason
   */
  async exchange(
    requestHead: string,
    into: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Received | undefined> {
    signal?.throwIfAborted();
    const onAbort = (): void => this.destroy(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#socket.ref();
    try {
      return await new Promise<Received | undefined>((resolve, reject) => {
        this.#exchange = { into, resolve, reject, head: undefined, bodyLengthBytes: 0, doneBytes: 0 };
        this.#heard = false;
        this.#socket.write(requestHead, "latin1");
      });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      // A process need not stay for a connection that waits.
      this.#socket.unref();
    }
  }

  /** Ends it, and the exchange with it. Nothing is written to anybody's memory from here on. */
  destroy(error: unknown): void {
    if (!this.#open) return;
    this.#open = false;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#wasStale = this.#used && !this.#heard && isClosing(error);
    this.#socket.destroy();
    exchange?.reject(error);
  }

  /** Where the kernel's next bytes go. */
  #target(): Uint8Array {
    const exchange = this.#exchange;
    if (exchange?.head === undefined) return this.#scratch.subarray(this.#scratchLength);
    return exchange.into.subarray(exchange.doneBytes, exchange.bodyLengthBytes);
  }

  #received(count: number): void {
    const exchange = this.#exchange;
    this.#heard = true;
    if (exchange === undefined) {
      this.destroy(failure("EPROTO", "the server sent what nobody asked for"));
    } else if (exchange.head === undefined) {
      this.#scratchLength += count;
      this.#takeHead(exchange);
    } else {
      exchange.doneBytes += count;
      if (exchange.doneBytes === exchange.bodyLengthBytes) this.#finish(exchange, exchange.head);
    }
  }

  #takeHead(exchange: Exchange): void {
    const received = this.#scratch.subarray(0, this.#scratchLength);
    const headLength = received.indexOf(HEAD_END, 0, "latin1");
    if (headLength < 0) {
      if (this.#scratchLength === SCRATCH_BYTES) this.#giveUp(exchange);
      return;
    }
    const head = parseResponseHead(received.toString("latin1", 0, headLength));
    const rest = received.subarray(headLength + HEAD_END.length);
    this.#scratchLength = 0;
    if (head !== undefined && head.statusCode < 200) {
      // "100 Continue" and its like: the answer comes behind it.
      this.#scratchLength = rest.length;
      this.#scratch.set(rest);
      this.#takeHead(exchange);
      return;
    }
    const length = head?.bodyLengthBytes;
    if (head === undefined || length === undefined || length > exchange.into.length || rest.length > length) {
      this.#giveUp(exchange);
      return;
    }
    exchange.into.set(rest);
    exchange.head = head;
    exchange.bodyLengthBytes = length;
    exchange.doneBytes = rest.length;
    if (rest.length === length) this.#finish(exchange, head);
  }

  #finish(exchange: Exchange, head: ResponseHead): void {
    this.#exchange = undefined;
    this.#used = true;
    if (!head.keepsAlive) this.destroy(undefined);
    exchange.resolve({ head, body: exchange.into.subarray(0, exchange.bodyLengthBytes) });
  }

  #giveUp(exchange: Exchange): void {
    this.#exchange = undefined;
    this.destroy(undefined);
    exchange.resolve(undefined);
  }
}

function openTls(host: string, port: number, onread: OnReadOpts): Socket {
  // What Node's own HTTPS agent says; certificates are verified by default. The types lack `onread` (Node docs have it).
  const options = { host, port, onread, ALPNProtocols: ["http/1.1"], ...(isIP(host) === 0 && { servername: host }) };
  return connectTls(options);
}

function isClosing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ECONNRESET" || code === "EPIPE";
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
