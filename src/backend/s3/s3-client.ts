import { S3Client } from "@aws-sdk/client-s3";
import { ignore } from "../../base/index.js";
import type { S3BackendConfig } from "../backend-config.js";

export const CONNECT_TIMEOUT_MS = 10_000;
/** The limit wrapper decides how many requests run at once; the agent must never be what they wait for. */
const SOCKET_COUNT_MAX = 512;

/** Without a logger of ours the SDK warns on the console, which belongs to the person who typed the command. */
const SILENT = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };

/**
 * An SDK client that does one request per call, over connections that stay open.
 *
 * Credentials come from the SDK's own chain (environment, files, container and instance roles), in each thread.
 */
export function createS3Client(config: S3BackendConfig): S3Client {
  // podfs supports the Node versions it says it does; that the SDK will not for ever is no news for its users.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
  const agent = { keepAlive: true, maxSockets: SOCKET_COUNT_MAX };
  return new S3Client({
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    ...(config.region === undefined ? {} : { region: config.region }),
    forcePathStyle: config.pathStyle,
    maxAttempts: 1,
    // What the newer default checksums add (trailers, aws-chunked bodies), many S3-compatible servers do not
    // understand. podfs verifies every byte by its own hashes, and announces large bodies in plain headers (payload-hash.ts).
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // For larger bodies the SDK would wait for "100 Continue", on a new connection for each request.
    expectContinueHeader: false,
    logger: SILENT,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: config.idleTimeoutMs,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}
