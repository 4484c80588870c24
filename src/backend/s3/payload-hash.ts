import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { PutObjectCommand } from "@aws-sdk/client-s3";

/** Smaller bodies are hashed by the SDK, in no time. */
const LARGE_BYTES_MIN = 1 << 20;
/** Three milliseconds of SHA-256 and CRC-32. */
const SLICE_BYTES = 4 << 20;
const HASH_HEADER = "x-amz-content-sha256";
const CHECKSUM_HEADER = "x-amz-checksum-crc32";
/** Signature Version 4, "Transferring payload in a single chunk": the body is left out of what is signed. */
const UNSIGNED = "UNSIGNED-PAYLOAD";

export interface PayloadOptions {
  readonly isEncrypted: boolean;
  /** Whether the server is told a CRC-32, which not every one takes. */
  readonly hasChecksum: boolean;
  readonly signal: AbortSignal;
}

/** Whether {@link announcePayload} says anything about this body. */
export function isLargePayload(body: unknown): body is Uint8Array {
  return body instanceof Uint8Array && body.byteLength >= LARGE_BYTES_MIN;
}

/**
 * Says what a large body hashes to, which the SDK would otherwise find out in one go: 64 MiB of SHA-256 would keep a
 * thread from its other requests for 40 ms.
 *
 * Over TLS, which protects the body on its way by itself, it is not signed, as the AWS CLI has it: SHA-256 is half of
 * what sending a pack costs. Over plain HTTP the signature is all that protects it.
 *
 * A CRC-32 lets the server check what it stores, behind whatever ends the TLS before it. It pays for itself: a server that is
 * told none computes one of its own, a dearer one as a rule (docs/decisions/0009). As a plain header: trailers are what
 * many servers do not understand.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
 */
export async function announcePayload(
  command: PutObjectCommand,
  body: Uint8Array,
  options: PayloadOptions,
): Promise<void> {
  const headers = await headersOf(body, options);
  command.middlewareStack.add(
    (next) => async (args) => {
      const { request } = args;
      if (hasHeaders(request)) Object.assign(request.headers, headers);
      return await next(args);
    },
    { step: "build", name: "podfsPayload" },
  );
}

async function headersOf(
  body: Uint8Array,
  { isEncrypted, hasChecksum, signal }: PayloadOptions,
): Promise<Readonly<Record<string, string>>> {
  const hash = isEncrypted ? undefined : createHash("sha256");
  let checksum = 0;
  for (let offset = 0; offset < body.byteLength; offset += SLICE_BYTES) {
    const slice = body.subarray(offset, offset + SLICE_BYTES);
    hash?.update(slice);
    if (hasChecksum) checksum = crc32(slice, checksum);
    await new Promise(setImmediate);
    signal.throwIfAborted();
  }
  return {
    [HASH_HEADER]: hash?.digest("hex") ?? UNSIGNED,
    ...(hasChecksum && { [CHECKSUM_HEADER]: base64Of(checksum) }),
  };
}

function base64Of(checksum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(checksum);
  return bytes.toString("base64");
}

function hasHeaders(request: unknown): request is { readonly headers: Record<string, string> } {
  return typeof request === "object" && request !== null && "headers" in request;
}
