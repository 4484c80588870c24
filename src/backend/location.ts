import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../base/index.js";
import type { BackendConfig } from "./backend-config.js";
import { parseS3Location } from "./s3/s3-location.js";

export interface OpenBackendOptions {
  /** Relative paths start here. */
  readonly cwd?: string;
  /** Read for AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION; what the URL says goes first. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads where a volume lives: a path, `file:///path`, or `s3://bucket/prefix?endpoint=…&region=…&pathStyle=…&signBodies=…`.
 * Only reads the text; whether there is anything shows with the first request.
 * @throws UserError that never repeats credentials somebody put into the URL.
 */
export function openBackend(location: string, options: OpenBackendOptions = {}): BackendConfig {
  const text = location.trim();
  if (text === "") throw new UserError("the backend is empty: give a directory or s3://bucket/prefix");
  if (text.includes("\0")) throw new UserError("the backend's name contains a NUL character");
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      if (/^s3:/i.test(text)) throw new UserError("an S3 backend is written s3://bucket/prefix");
      return { kind: "directory", path: resolve(options.cwd ?? process.cwd(), text) };
    case "file":
      return { kind: "directory", path: pathOfFileUrl(text) };
    case "s3":
      return parseS3Location(text, options.env ?? process.env);
    default:
      throw new UserError(`unknown kind of backend ${scheme}:// : give a directory or s3://bucket/prefix`);
  }
}

function pathOfFileUrl(text: string): string {
  try {
    return resolve(fileURLToPath(text));
  } catch (error) {
    throw new UserError(`${text} is not a file URL; write it like file:///mnt/store`, error);
  }
}
