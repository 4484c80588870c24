import { createHash } from "node:crypto";
import type { PutObjectCommand } from "@aws-sdk/client-s3";
// Two to three times as fast as zlib's: it multiplies without carries.
import { crc32 } from "@node-rs/crc32";

/** Smaller bodies are hashed by the SDK, in no time. */
const LARGE_BYTES_MIN = 1 << 20;
/** Three milliseconds of SHA-256 and CRC-32. */
const SLICE_BYTES = 4 << 20;
const HASH_HEADER = "x-amz-content-sha256";
const CHECKSUM_HEADER = "x-amz-checksum-crc32";
/** Signature Version 4, "Transferring payload in a single chunk": the body is left out of what is signed. */
const UNSIGNED = "UNSIGNED-PAYLOAD";

/** How a large body is protected on its way. */
export interface Protection {
  /** Whether its SHA-256 is part of what is signed. */
  readonly isSigned: boolean;
  /** Whether the server is told its CRC-32, which not every one takes. */
  readonly hasChecksum: boolean;
}

/** Whether it is worth {@link announcePayload}. */
export function isLargePayload(body: unknown): body is Uint8Array {
  return body instanceof Uint8Array && body.byteLength >= LARGE_BYTES_MIN;
}

/**
 * Says what a large body hashes to, which the SDK would otherwise find out in one go: 64 MiB of SHA-256 would keep a
 * thread from its other requests for 40 ms.
 *
 * A CRC-32 lets the server check what it stores, behind whatever ends the TLS before it. It pays for itself: a server that is
 * told none computes one of its own, a dearer one as a rule (docs/decisions/0009). As a plain header, which is signed: trailers
 * are what many servers do not understand.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
 *
 * @returns the CRC-32, as the server is told it; undefined when it is not
 */
export async function announcePayload(
  command: PutObjectCommand,
  body: Uint8Array,
  { isSigned, hasChecksum }: Protection,
  signal: AbortSignal,
): Promise<string | undefined> {
  const hash = isSigned ? createHash("sha256") : undefined;
  let sum = 0;
  for (let offset = 0; offset < body.byteLength; offset += SLICE_BYTES) {
    const slice = body.subarray(offset, offset + SLICE_BYTES);
    hash?.update(slice);
    if (hasChecksum) sum = crc32(slice, sum);
    await new Promise(setImmediate);
    signal.throwIfAborted();
  }
  const checksum = hasChecksum ? base64Of(sum) : undefined;
  const headers = {
    [HASH_HEADER]: hash?.digest("hex") ?? UNSIGNED,
    ...(checksum !== undefined && { [CHECKSUM_HEADER]: checksum }),
  };
  command.middlewareStack.add(
    (next) => async (args) => {
      const { request } = args;
      if (hasHeaders(request)) Object.assign(request.headers, headers);
      return await next(args);
    },
    { step: "build", name: "podfsPayload" },
  );
  return checksum;
}

function base64Of(checksum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(checksum);
  return bytes.toString("base64");
}

function hasHeaders(request: unknown): request is { readonly headers: Record<string, string> } {
  return typeof request === "object" && request !== null && "headers" in request;
}
