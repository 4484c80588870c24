import { BackendError, type BackendErrorKind } from "../backend-error.js";

/** S3 error codes, SDK error names and Node error codes, in that order of precedence; then the HTTP status. */
const KIND_BY_CODE: ReadonlyMap<string, BackendErrorKind> = new Map<string, BackendErrorKind>([
  ...entries("not-found", ["NoSuchKey", "NotFound"]),
  ...entries("no-such-backend", ["NoSuchBucket", "InvalidBucketName", "PermanentRedirect", "TemporaryRedirect"]),
  ...entries("no-such-backend", ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]),
  ...entries("no-such-backend", ["ERR_INVALID_URL", "EPROTO", "ERR_SSL_WRONG_VERSION_NUMBER"]),
  ...entries("precondition-failed", ["PreconditionFailed"]),
  ...entries("access-denied", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"]),
  ...entries("access-denied", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed"]),
  ...entries("access-denied", ["AllAccessDisabled", "AccountProblem", "InvalidSecurity", "NotSignedUp"]),
  ...entries("access-denied", ["CredentialsProviderError", "TokenProviderError"]),
  ...entries("throttled", ["SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException"]),
  ...entries("throttled", ["TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded"]),
  ...entries("no-space", [
    "QuotaExceeded",
    "InsufficientStorage",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
  ]),
  ...entries("bad-response", [
    "InvalidRange",
    "InvalidArgument",
    "NotImplemented",
    "MethodNotAllowed",
    "EntityTooLarge",
  ]),
  ...entries("bad-response", ["CERT_HAS_EXPIRED", "DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN"]),
  ...entries("bad-response", ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "ERR_TLS_CERT_ALTNAME_INVALID"]),
  // The request was damaged or cut on its way, or met another one: the next attempt is a new one.
  ...entries("unavailable", ["InternalError", "ServiceUnavailable", "RequestTimeout", "TimeoutError"]),
  ...entries("unavailable", [
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
  ]),
  ...entries("unavailable", ["OperationAborted", "ConditionalRequestConflict"]),
  ...entries("unavailable", [
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "ETIMEDOUT",
    "ENOTFOUND",
    "EAI_AGAIN",
  ]),
  ...entries("unavailable", ["EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "EMFILE", "ENFILE"]),
]);

/** Said instead of, or after, what the server says: what the person can do. */
const HINT_BY_CODE: ReadonlyMap<string, string> = new Map([
  ["NoSuchBucket", "create the bucket, or correct the URL"],
  ["PermanentRedirect", "the bucket is in another region: add ?region=… to the URL"],
  ["AuthorizationHeaderMalformed", "the bucket is in another region: add ?region=… to the URL"],
  ["CredentialsProviderError", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"],
  ["InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"],
  ["SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY"],
  ["RequestTimeTooSkewed", "set this machine's clock"],
  ["EPROTO", "http:// in place of https:// in the endpoint, or the other way round?"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "http:// in place of https:// in the endpoint?"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "name the server's certificate in NODE_EXTRA_CA_CERTS"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "name the server's certificate in NODE_EXTRA_CA_CERTS"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "name the server's certificate in NODE_EXTRA_CA_CERTS"],
]);

/** Refusals that end by themselves: the credentials chain fetches a new token. */
const RETRYABLE_CODES: ReadonlySet<string> = new Set(["ExpiredToken", "TokenRefreshRequired"]);
const MESSAGE_LENGTH_MAX = 300;

interface S3Failure {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly Code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
}

/**
 * @param error What the SDK threw. It is not kept as the cause: the SDK hangs the whole exchange on it, and some
 *   servers repeat the signed request, so that logging it would log credentials.
 * @param what The request, as in `put pack/ab/…`.
 */
export function toBackendError(error: unknown, what: string, url: string, signal?: AbortSignal): BackendError {
  if (error instanceof BackendError) return error;
  if (signal?.aborted) return new BackendError("aborted", `${what}: aborted`, { cause: signal.reason });
  const failure: S3Failure = typeof error === "object" && error !== null ? error : {};
  const status = failure.$metadata?.httpStatusCode;
  const codes = [failure.Code, failure.name, failure.code].filter((code) => typeof code === "string");
  if (isRegionMissing(failure)) {
    return new BackendError("no-such-backend", `${what} (${url}): no region: add ?region=… or set AWS_REGION`);
  }
  const code = codes.find((candidate) => KIND_BY_CODE.has(candidate));
  const kind = (code === undefined ? undefined : KIND_BY_CODE.get(code)) ?? kindOfStatus(status);
  return new BackendError(kind, describe(failure, code ?? codes[0], what, url), {
    ...(code !== undefined && RETRYABLE_CODES.has(code) ? { retryable: true } : {}),
  });
}

function kindOfStatus(status: number | undefined): BackendErrorKind {
  if (status === undefined) return "bad-response";
  if (status === 401 || status === 403) return "access-denied";
  if (status === 404) return "not-found";
  if (status === 408 || status === 409) return "unavailable";
  if (status === 412) return "precondition-failed";
  if (status === 429) return "throttled";
  if (status === 507) return "no-space";
  if (status === 301 || status === 307 || status === 308) return "no-such-backend";
  return status >= 500 && status !== 501 ? "unavailable" : "bad-response";
}

function describe(failure: S3Failure, code: string | undefined, what: string, url: string): string {
  const text = typeof failure.message === "string" ? failure.message.replace(/\s+/g, " ").trim() : "";
  const hint = code === undefined ? undefined : HINT_BY_CODE.get(code);
  const status = failure.$metadata?.httpStatusCode;
  const parts = [
    code === "Error" || code === undefined ? "" : code,
    text === code || text === "UnknownError" ? "" : text.slice(0, MESSAGE_LENGTH_MAX),
    status === undefined ? "" : `HTTP ${status}`,
  ].filter((part) => part !== "");
  return `${what} (${url}): ${parts.join(": ")}${hint === undefined ? "" : `; ${hint}`}`;
}

function isRegionMissing(failure: S3Failure): boolean {
  return typeof failure.message === "string" && /region is missing/i.test(failure.message);
}

function entries(kind: BackendErrorKind, codes: readonly string[]): [string, BackendErrorKind][] {
  return codes.map((code) => [code, kind]);
}
