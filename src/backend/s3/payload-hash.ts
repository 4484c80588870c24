import { createHash } from "node:crypto";
import type { PutObjectCommand } from "@aws-sdk/client-s3";

/** Smaller bodies are hashed by the SDK, in no time. */
const LARGE_BYTES_MIN = 1 << 20;
/** Two milliseconds of SHA-256. */
const SLICE_BYTES = 4 << 20;
const HEADER = "x-amz-content-sha256";
/** Signature Version 4, "Transferring payload in a single chunk": the body is left out of what is signed. */
const UNSIGNED = "UNSIGNED-PAYLOAD";

/**
 * Says what a large body hashes to, which the SDK would otherwise find out in one go: 64 MiB of SHA-256 would keep a
 * thread from its other requests for 40 ms.
 *
 * Over TLS, which protects the body on its way by itself, it is not signed, as the AWS CLI has it: SHA-256 is half of
 * what sending a pack costs. Over plain HTTP the signature is all that protects it.
 */
export async function announcePayload(
  command: PutObjectCommand,
  body: Uint8Array,
  { isEncrypted, signal }: { readonly isEncrypted: boolean; readonly signal: AbortSignal },
): Promise<void> {
  if (body.byteLength < LARGE_BYTES_MIN) return;
  const payload = isEncrypted ? UNSIGNED : await sha256Of(body, signal);
  command.middlewareStack.add(
    (next) => async (args) => {
      const { request } = args;
      if (hasHeaders(request)) request.headers[HEADER] = payload;
      return await next(args);
    },
    { step: "build", name: "podfsPayload" },
  );
}

async function sha256Of(body: Uint8Array, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for (let offset = 0; offset < body.byteLength; offset += SLICE_BYTES) {
    hash.update(body.subarray(offset, offset + SLICE_BYTES));
    await new Promise(setImmediate);
    signal.throwIfAborted();
  }
  return hash.digest("hex");
}

function hasHeaders(request: unknown): request is { readonly headers: Record<string, string> } {
  return typeof request === "object" && request !== null && "headers" in request;
}
