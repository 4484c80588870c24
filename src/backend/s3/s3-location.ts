import { UserError } from "../../base/index.js";
import type { S3BackendConfig } from "../backend-config.js";

const IDLE_TIMEOUT_MS_DEFAULT = 30_000;
/** MinIO, Ceph and most others ignore the region, but signing needs one. */
const CUSTOM_ENDPOINT_REGION_DEFAULT = "us-east-1";
/** S3 allows keys of 1024 bytes; what podfs appends needs the rest. */
const PREFIX_BYTES_MAX = 500;
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;
const PARAMETERS = ["endpoint", "region", "pathStyle", "signBodies"];

/** @throws UserError */
export function parseS3Location(text: string, env: Readonly<Record<string, string | undefined>>): S3BackendConfig {
  const url = parseUrl(text, "the backend");
  if (url.username !== "" || url.password !== "") throw credentialsInUrl("the backend");
  if (url.hash !== "") throw new UserError("an S3 backend has no #… part; write # in a prefix as %23");
  const bucket = url.host;
  if (!BUCKET.test(bucket)) {
    throw new UserError(`"${bucket}" is not a bucket name; an S3 backend is written s3://bucket/prefix`);
  }
  for (const name of url.searchParams.keys()) {
    if (PARAMETERS.includes(name)) continue;
    // The value is left out: it may be a secret.
    throw new UserError(`unknown parameter "${name}" in the S3 URL; there are ${PARAMETERS.join(", ")}`);
  }
  const endpoint = parseEndpoint(given(url, "endpoint") ?? env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL);
  const region = given(url, "region") ?? env.AWS_REGION ?? env.AWS_DEFAULT_REGION;
  if (region !== undefined && !/^[A-Za-z0-9-]+$/.test(region)) throw new UserError(`"${region}" is not a region`);
  return {
    kind: "s3",
    bucket,
    prefix: parsePrefix(url.pathname),
    endpoint,
    region: region ?? (endpoint === undefined ? undefined : CUSTOM_ENDPOINT_REGION_DEFAULT),
    pathStyle: givenBoolean(url, "pathStyle") ?? endpoint !== undefined,
    signBodies: givenBoolean(url, "signBodies") ?? false,
    idleTimeoutMs: IDLE_TIMEOUT_MS_DEFAULT,
  };
}

/** The URL that {@link parseS3Location} reads as this configuration. */
export function formatS3Location(config: S3BackendConfig): string {
  const path = config.prefix.split("/").map(encodeURIComponent).join("/");
  const parameters = [
    config.endpoint === undefined ? [] : [`endpoint=${config.endpoint}`],
    config.region === undefined ? [] : [`region=${config.region}`],
    config.pathStyle === (config.endpoint !== undefined) ? [] : [`pathStyle=${config.pathStyle}`],
    config.signBodies ? ["signBodies=true"] : [],
  ].flat();
  const query = parameters.length === 0 ? "" : `?${parameters.join("&")}`;
  return `s3://${config.bucket}${path === "" ? "" : `/${path}`}${query}`;
}

function given(url: URL, name: string): string | undefined {
  const values = url.searchParams.getAll(name);
  if (values.length > 1) throw new UserError(`the S3 URL has more than one ${name}`);
  return values[0] === "" ? undefined : values[0];
}

function parseEndpoint(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  const url = parseUrl(text, "the S3 endpoint");
  if (url.username !== "" || url.password !== "") throw credentialsInUrl("the S3 endpoint");
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new UserError("the S3 endpoint must start with http:// or https://");
  }
  if (url.search !== "" || url.hash !== "") throw new UserError("the S3 endpoint must not have a ? or # part");
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function givenBoolean(url: URL, name: string): boolean | undefined {
  const text = given(url, name);
  switch (text?.toLowerCase()) {
    case undefined:
      return undefined;
    case "true":
    case "1":
      return true;
    case "false":
    case "0":
      return false;
    default:
      throw new UserError(`${name} in the S3 URL is true or false, not "${text}"`);
  }
}

function parsePrefix(pathname: string): string {
  let prefix: string;
  try {
    prefix = decodeURIComponent(pathname).replace(/^\/|\/$/g, "");
  } catch (error) {
    throw new UserError("the prefix in the S3 URL has a % that is not followed by two hex digits", error);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\x00-\x1f\x7f]/.test(prefix)) throw new UserError("the prefix in the S3 URL has control characters");
  if (prefix !== "" && prefix.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new UserError('the prefix in the S3 URL has an empty, "." or ".." part');
  }
  if (Buffer.byteLength(prefix) > PREFIX_BYTES_MAX) {
    throw new UserError(`the prefix in the S3 URL is longer than ${PREFIX_BYTES_MAX} bytes`);
  }
  return prefix;
}

function parseUrl(text: string, what: string): URL {
  try {
    return new URL(text);
  } catch {
    // The parser's own error repeats the text, and with it any password.
    throw new UserError(`${what} is not a valid URL; write it like s3://bucket/prefix?endpoint=http://host:9000`);
  }
}

function credentialsInUrl(what: string): UserError {
  return new UserError(`${what} must not contain credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead`);
}
