import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from "@aws-sdk/client-s3";
import { systemClock } from "../../base/index.js";
import type { ConnectionTimeouts, Received } from "./direct/connection.js";
import { Connections, type SignedRequest } from "./direct/connections.js";

const MISFITS_MAX = 3;
/** Then the SDK makes a request from the beginning: it renews credentials five minutes before they expire. */
const KEPT_MS = 60_000;

export interface DirectGetOptions {
  /** As in the header of that name. */
  readonly range: string | undefined;
  readonly into: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

/** What the SDK says of the answer, and the body; undefined when the SDK's HTTP client was needed, and has it. */
export interface DirectAnswer {
  readonly output: GetObjectCommandOutput;
  readonly bytes: Uint8Array | undefined;
}

interface Place {
  readonly bucket: string;
  /** Empty, or with the slash that separates it from the key. */
  readonly prefix: string;
}

/** One GET on its way through the SDK. */
interface Exchange {
  readonly into: Uint8Array;
  readonly signal: AbortSignal | undefined;
  bytes: Uint8Array | undefined;
}

/** The answer to a request that was signed anew is for the SDK's HTTP client, which goes with a request of the SDK's own. */
class NotDirectError extends Error {}

/** What the innermost handler gives; further out there is what the SDK makes of it, too. */
interface Answered {
  readonly response: unknown;
}

type Handler = (args: Args) => Promise<Answered & { readonly output: GetObjectCommandOutput }>;

/** What a handler of the SDK is called with. It passes on what it does not know. */
interface Args {
  readonly input: GetObjectCommand["input"];
  readonly request: SignedRequest;
  readonly exchange?: Exchange | "nothing";
}

/** A request that the SDK has made but not signed, and what it does from there. */
interface KeptRequest {
  readonly args: Args;
  /** Signs, exchanges, and interprets the answer: what the SDK calls again for another attempt. */
  readonly next: Handler;
  /** In the store: the path ends with it. */
  readonly key: string;
  readonly sinceMs: number;
}

/**
 * GETs of large ranges whose bodies go into memory of the caller. The SDK makes, signs and interprets the request; only
 * the exchange itself is ours, and where an answer is not of the simple kind, that is the SDK's too.
 *
 * Making a request is most of what the SDK costs, 1.5 to 3 ms of processor time: it looks up endpoint, credentials and a
 * dozen settings. So one that it has made is kept for a while, and signed again for other keys and ranges. Why all this:
 * docs/decisions/0005 and 0009.
 */
export class DirectGets {
  readonly #client: S3Client;
  readonly #place: Place;
  readonly #connections: Connections;
  /** Answers in a row that only the SDK's client could read. */
  #misfits = 0;
  #kept: KeptRequest | undefined;

  constructor(client: S3Client, place: Place, timeouts: ConnectionTimeouts) {
    this.#client = client;
    this.#place = place;
    this.#connections = new Connections(timeouts);
  }

  /** Does all that the first GET takes besides the exchange: nothing is sent. @throws what the SDK throws */
  async prepare(): Promise<void> {
    await this.#make("any", undefined, "nothing");
  }

  /** @throws what the SDK throws */
  async get(key: string, { range, into, signal }: DirectGetOptions): Promise<DirectAnswer> {
    const exchange: Exchange = { into, signal, bytes: undefined };
    const output = (await this.#again(key, range, exchange)) ?? (await this.#make(key, range, exchange));
    return { output, bytes: exchange.bytes };
  }

  close(): void {
    this.#connections.close();
  }

  /** By the request that is kept. Undefined when there is none that serves. */
  async #again(
    key: string,
    range: string | undefined,
    exchange: Exchange,
  ): Promise<GetObjectCommandOutput | undefined> {
    const kept = this.#kept;
    if (kept === undefined || systemClock.monotonicMs() - kept.sinceMs >= KEPT_MS || !this.#areDirect) return undefined;
    try {
      const { output } = await kept.next({ ...kept.args, request: requestFor(kept, key, range), exchange });
      return output;
    } catch (error) {
      this.#kept = undefined;
      // Credentials may be others now. Who is refused with those as well hears it from the SDK.
      if (error instanceof NotDirectError || (isRefusal(error) && !exchange.signal?.aborted)) return undefined;
      throw error;
    }
  }

  /** From the beginning, by the SDK. */
  async #make(key: string, range: string | undefined, exchange: Exchange | "nothing"): Promise<GetObjectCommandOutput> {
    const { bucket, prefix } = this.#place;
    const command = new GetObjectCommand({ Bucket: bucket, Key: prefix + key, ...(range && { Range: range }) });
    let isOver = false;
    const keep = (next: Handler) => async (args: Args) => {
      const result = await next({ ...args, exchange });
      isOver = true;
      if (args.request.path.endsWith(`/${key}`)) {
        this.#kept = { args, next, key, sinceMs: systemClock.monotonicMs() };
      }
      return result;
    };
    const answer = (next: Handler) => async (args: Args) => {
      const response = await this.#answer(args);
      if (response !== undefined) return response;
      // It would listen to the signal of the request that is over.
      if (isOver) throw new NotDirectError();
      return await next(args);
    };
    const { middlewareStack } = command;
    middlewareStack.addRelativeTo(keep as Parameters<typeof middlewareStack.addRelativeTo>[0], {
      ...{ name: "podfsKeepRequest", relation: "before", toMiddleware: "httpSigningMiddleware" },
    });
    // Innermost of all: behind it is only the HTTP client.
    middlewareStack.add(answer as Parameters<typeof middlewareStack.add>[0], {
      ...{ name: "podfsDirectGet", step: "deserialize", priority: "low" },
    });
    const signal = exchange === "nothing" ? undefined : exchange.signal;
    return await this.#client.send(command, { ...(signal && { abortSignal: signal }) });
  }

  /** Undefined when it needs the SDK's HTTP client. */
  async #answer({ exchange, request }: Args): Promise<Answered | undefined> {
    if (exchange === undefined) return undefined;
    if (exchange === "nothing") return responseOf(200, {}, []);
    const received = await this.#exchange(request, exchange);
    if (received === undefined) return undefined;
    const { head, body } = received;
    const isSuccess = head.statusCode < 300;
    if (isSuccess) exchange.bytes = body;
    // What the server says about an error is read by the SDK.
    return responseOf(head.statusCode, head.headers, isSuccess ? [] : [Buffer.from(body)]);
  }

  /** A server that never answers so is not asked twice for everything. */
  get #areDirect(): boolean {
    return this.#misfits < MISFITS_MAX;
  }

  async #exchange(request: SignedRequest, { into, signal }: Exchange): Promise<Received | undefined> {
    if (!this.#areDirect) return undefined;
    const received = await this.#connections.get(request, into, signal);
    this.#misfits = received === undefined ? this.#misfits + 1 : 0;
    return received;
  }
}

/** Keys are of characters that stand for themselves in a URL (object-key.ts), but for the prefix, which they share. */
function requestFor(
  { args: { request }, key }: KeptRequest,
  otherKey: string,
  range: string | undefined,
): SignedRequest {
  const { range: _, ...headers } = request.headers;
  return {
    ...request,
    path: request.path.slice(0, -key.length) + otherKey,
    query: { ...request.query },
    headers: { ...headers, "amz-sdk-invocation-id": randomUUID(), ...(range && { range }) },
  };
}

function responseOf(statusCode: number, headers: Readonly<Record<string, string>>, body: readonly Buffer[]): Answered {
  return { response: { statusCode, headers: { ...headers }, body: Readable.from(body) } };
}

function isRefusal(error: unknown): boolean {
  const { $metadata } = error as { readonly $metadata?: { readonly httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode ?? 0;
  return status === 400 || status === 401 || status === 403;
}
