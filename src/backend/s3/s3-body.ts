import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { BackendError } from "../backend-error.js";
import type { PutBody } from "../object-store.js";

const READ_BUFFER_BYTES = 1 << 20;

/** The body of one PUT, and what may go wrong with it on this side. */
export interface UploadBody {
  readonly content: Uint8Array | Readable;
  /** Aborts when the caller does or the local file fails; the reason is then a BackendError local-file. */
  readonly signal: AbortSignal;
  /** Closes the file. */
  dispose(): void;
}

/**
 * Opens what is to be sent. A stream that fails does not end the request it is piped into, and one that ends early
 * leaves the server waiting for the rest; both must abort the request from here.
 */
export function openUploadBody(body: PutBody, what: string, signal: AbortSignal | undefined): UploadBody {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  const unlisten = () => signal?.removeEventListener("abort", onAbort);
  if (body instanceof Uint8Array) return { content: body, signal: controller.signal, dispose: unlisten };

  const fail = (why: string, cause?: unknown) =>
    controller.abort(new BackendError("local-file", `${what}: ${why}`, { cause }));
  const { path, sizeBytes } = body;
  // An empty stream with a length of 0 never ends its request on some servers; empty bytes do.
  if (sizeBytes === 0) return { content: new Uint8Array(0), signal: controller.signal, dispose: unlisten };
  const stream = createReadStream(path, { end: sizeBytes - 1, highWaterMark: READ_BUFFER_BYTES });
  stream.on("error", (error) => fail(`cannot read the local file: ${error.message}`, error));
  stream.on("end", () => {
    if (stream.bytesRead < sizeBytes) fail(`the local file ends at ${stream.bytesRead} of ${sizeBytes} bytes`);
  });
  const dispose = () => {
    unlisten();
    stream.destroy();
  };
  return { content: stream, signal: controller.signal, dispose };
}

/**
 * Reads the body of a response whole.
 * @param lengthBytes What was asked for or announced.
 */
export async function readResponseBody(body: unknown, lengthBytes: number, what: string): Promise<Uint8Array> {
  if (!(body instanceof Readable)) throw new BackendError("bad-response", `${what}: the answer has no body`);
  // Not from Node's shared pool: what is returned may be transferred to another thread.
  const buffer = Buffer.allocUnsafeSlow(lengthBytes);
  let done = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    if (done + part.byteLength > lengthBytes) {
      body.destroy();
      throw new BackendError("bad-response", `${what}: the answer is longer than its ${lengthBytes} bytes`);
    }
    buffer.set(part, done);
    done += part.byteLength;
  }
  if (done < lengthBytes) {
    throw new BackendError("unavailable", `${what}: the answer ended after ${done} of ${lengthBytes} bytes`);
  }
  return new Uint8Array(buffer.buffer, buffer.byteOffset, lengthBytes);
}
