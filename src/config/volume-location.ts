import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "./errors.js";

const EXAMPLES = "write a directory (/mnt/nfs/store) or a bucket (s3://bucket/prefix)";
// Wider than AWS today: older buckets and other providers allow capitals and underscores.
const BUCKET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/;

/**
 * The one spelling of a volume's address: the default cache directory is named after it, so two spellings of one
 * place must not become two caches.
 *
 * What the query of an S3 address may say is the backend's business; here it is only put in order.
 * @throws ConfigError invalid-option. Never repeats what may be a secret.
 */
export function canonicalVolumeUrl(text: string, workingDirectory: string): string {
  if (text.trim() === "") throw invalid(`the volume's address is empty; ${EXAMPLES}`);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      return resolve(workingDirectory, text);
    case "file":
      return directoryOf(text);
    case "s3":
      return canonicalS3Url(text);
    default:
      throw invalid(`podfs cannot store volumes in ${scheme}://…; ${EXAMPLES}`);
  }
}

/** True if the volume lies in a directory of this machine, rather than in a bucket. */
export function isDirectoryVolume(volumeUrl: string): boolean {
  return volumeUrl.startsWith("/");
}

function directoryOf(text: string): string {
  try {
    return resolve(fileURLToPath(text));
  } catch (error) {
    throw invalid(`"${text}" is not the URL of a local directory; write the path itself, like /mnt/nfs/store`, error);
  }
}

function canonicalS3Url(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw invalid("the address of the bucket cannot be read; write s3://bucket/prefix");
  if (url.username !== "" || url.password !== "") {
    throw invalid(
      "credentials do not belong in the volume's address, where every process can read them; " +
        "use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
    );
  }
  if (!BUCKET_NAME.test(url.hostname)) {
    throw invalid(`"${url.hostname}" cannot be the name of a bucket; write s3://bucket/prefix`);
  }
  if (url.port !== "") {
    const endpoint = `http://${url.host}`;
    throw invalid(`an address has no port; write s3://bucket/prefix?endpoint=${endpoint} for a server of your own`);
  }
  url.hash = "";
  url.searchParams.sort();
  const prefix = url.pathname.split("/").filter(Boolean).join("/");
  // Endpoints stay readable: a query may hold ":" and "/" as they are (RFC 3986, section 3.4).
  const query = url.searchParams.toString().replaceAll("%3A", ":").replaceAll("%2F", "/");
  return `s3://${url.hostname}${prefix === "" ? "" : `/${prefix}`}${query === "" ? "" : `?${query}`}`;
}

function invalid(message: string, cause?: unknown): ConfigError {
  return new ConfigError("invalid-option", message, { cause });
}
