import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { ignore } from "../../base/index.js";
import type { S3BackendConfig } from "../backend-config.js";
import { BackendError, isBackendError, throwIfAborted } from "../backend-error.js";
import { probeConditions } from "../conditional-probe.js";
import { assertKeyPrefix, assertObjectKey, isObjectKey, probeKey } from "../object-key.js";
import {
  assertByteRange,
  type BackendCapabilities,
  type ByteRange,
  bodySizeBytes,
  type GetOptions,
  type ListOptions,
  type ListPage,
  listByPages,
  NO_CAPABILITIES,
  type ObjectHead,
  type ObjectInfo,
  type ObjectStore,
  type PutBody,
  type PutOptions,
  type RequestOptions,
  type StoredObject,
} from "../object-store.js";
import { DirectGets } from "./direct-get.js";
import { announcePayload, isLargePayload, type Protection } from "./payload-hash.js";
import { PayloadProtection, type Signing } from "./payload-protection.js";
import { openUploadBody, readResponseBody } from "./s3-body.js";
import { CONNECT_TIMEOUT_MS, createS3Client } from "./s3-client.js";
import { toBackendError } from "./s3-errors.js";
import { formatS3Location } from "./s3-location.js";

/**
 * Objects in a bucket, with the five requests every S3-compatible server has: PutObject, GetObject, HeadObject,
 * DeleteObject, ListObjectsV2. One call is one request, but for conditional puts to servers that are not known to
 * honour the condition (those look first), and for the first large bodies, should the server refuse how they are protected.
 */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #client: S3Client;
  readonly #direct: DirectGets;
  readonly #bucket: string;
  readonly #protection: PayloadProtection;
  /** Empty, or with the slash that separates it from the key. */
  readonly #prefix: string;
  #capabilities: BackendCapabilities;

  /** @param known what has been found out about the bucket before */
  constructor(config: S3BackendConfig, known = NO_CAPABILITIES) {
    this.url = formatS3Location(config);
    this.#client = createS3Client(config);
    this.#bucket = config.bucket;
    this.#protection = new PayloadProtection(signingOf(config), known.checksBodies);
    this.#capabilities = known;
    this.#prefix = config.prefix === "" ? "" : `${config.prefix}/`;
    const timeouts = { connectTimeoutMs: CONNECT_TIMEOUT_MS, idleTimeoutMs: config.idleTimeoutMs };
    this.#direct = new DirectGets(this.#client, { bucket: this.#bucket, prefix: this.#prefix }, timeouts);
  }

  get capabilities(): BackendCapabilities {
    return this.#capabilities;
  }

  async probe(): Promise<BackendCapabilities> {
    const checksums = this.#probeChecksums();
    const conditions = await probeConditions({
      put: (key, body, condition) => this.#putOnce(key, body, condition),
      delete: (key) => this.delete(key),
    }).finally(() => checksums);
    this.#capabilities = { ...conditions, checksBodies: await checksums };
    return this.#capabilities;
  }

  async prepareGets(): Promise<void> {
    await this.#request("prepare to get", undefined, () => this.#direct.prepare());
  }

  async get(key: string, { range, into, signal }: GetOptions = {}): Promise<StoredObject> {
    assertObjectKey(key);
    assertByteRange(range);
    return await this.#request(`get ${key}`, signal, async (what) => {
      const header = range && rangeHeader(range);
      const { output: response, bytes } =
        into === undefined
          ? { output: await this.#get(key, header, signal), bytes: undefined }
          : await this.#direct.get(key, { range: header, into, signal });
      if (range !== undefined) checkContentRange(response.ContentRange, range, what);
      const lengthBytes = response.ContentLength;
      if (lengthBytes === undefined) throw new BackendError("bad-response", `${what}: the answer has no length`);
      if (range !== undefined && lengthBytes !== range.length) {
        throw new BackendError("bad-response", `${what}: ${lengthBytes} bytes came for a range of ${range.length}`);
      }
      const body = bytes ?? (await readResponseBody(response.Body, lengthBytes, what));
      return { body, version: versionOf(response.ETag, what) };
    });
  }

  async put(key: string, body: PutBody, options: PutOptions = {}): Promise<string> {
    assertObjectKey(key);
    const { ifAbsent, ifMatch, signal } = options;
    if (ifAbsent && !this.#capabilities.conditionalCreate) {
      if ((await this.head(key, { signal })) !== undefined) throw preconditionFailed(key, "is there already");
    }
    if (ifMatch !== undefined && !this.#capabilities.conditionalReplace) {
      if ((await this.head(key, { signal }))?.version !== ifMatch) throw preconditionFailed(key, "has changed");
    }
    try {
      // Sent even where it may be ignored: one server more that honours it is one race less.
      return await this.#putProtected(key, body, options);
    } catch (error) {
      const conditional = ifAbsent || ifMatch !== undefined;
      if (!conditional || !isBackendError(error, "bad-response")) throw error;
      // A server that refuses the header itself (501). What can be checked has been checked above.
      return await this.#putProtected(key, body, { signal });
    }
  }

  async head(key: string, { signal }: RequestOptions = {}): Promise<ObjectHead | undefined> {
    assertObjectKey(key);
    try {
      return await this.#request(`head ${key}`, signal, async (what) => {
        const response = await this.#client.send(new HeadObjectCommand(this.#address(key)), {
          ...(signal && { abortSignal: signal }),
        });
        return { sizeBytes: response.ContentLength ?? 0, version: versionOf(response.ETag, what) };
      });
    } catch (error) {
      if (isBackendError(error, "not-found")) return undefined;
      throw error;
    }
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    assertObjectKey(key);
    try {
      await this.#request(`delete ${key}`, signal, () =>
        this.#client.send(new DeleteObjectCommand(this.#address(key)), { ...(signal && { abortSignal: signal }) }),
      );
    } catch (error) {
      // S3 answers 204 for what is not there, some others 404.
      if (!isBackendError(error, "not-found")) throw error;
    }
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    return listByPages(this, prefix, options);
  }

  /** Pages by the last key, not by the server's token: so a page can be asked for again, at any time, by anybody. */
  async listPage(prefix: string, { after, signal }: ListOptions = {}): Promise<ListPage> {
    assertKeyPrefix(prefix);
    return await this.#request(`list ${prefix}`, signal, async (what) => {
      const response = await this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: this.#prefix + prefix,
          ...(after !== undefined && { StartAfter: this.#prefix + after }),
        }),
        { ...(signal && { abortSignal: signal }) },
      );
      const entries = (response.Contents ?? []).flatMap(({ Key, Size }) =>
        Key?.startsWith(this.#prefix) ? [{ key: Key.slice(this.#prefix.length), sizeBytes: Size ?? 0 }] : [],
      );
      const next = response.IsTruncated ? entries.at(-1)?.key : undefined;
      if (response.IsTruncated && (next === undefined || next === after)) {
        throw new BackendError("bad-response", `${what}: the answer promises more and leads nowhere`);
      }
      return { objects: entries.filter(({ key }) => isObjectKey(key)), next };
    });
  }

  async close(): Promise<void> {
    this.#direct.close();
    this.#client.destroy();
  }

  /**
   * {@link #putOnce}, with a large body protected as the server likes it. R2 once answered a checksum's header with 501, B2 with 400,
   * and who closes the connection before the body has come may not be heard: so any failure of the first.
   */
  async #putProtected(key: string, body: PutBody, options: PutOptions): Promise<string> {
    if (!isLargePayload(body)) return await this.#putOnce(key, body, options);
    const protection = this.#protection.current;
    try {
      return await this.#putOnce(key, body, options, protection);
    } catch (error) {
      const instead = this.#protection.insteadOf(protection);
      const isExplained = isBackendError(error, "precondition-failed", "throttled", "aborted");
      if (instead === undefined || isExplained) throw error;
      const version = await this.#putOnce(key, body, options, instead);
      this.#protection.acceptedInstead(protection, instead);
      return version;
    }
  }

  /** Whether the server tells the CRC-32 of a body, if anything depends on it. Rejects nothing: large bodies will show. */
  async #probeChecksums(): Promise<boolean> {
    if (!this.#protection.isLearning) return false;
    const key = probeKey();
    try {
      await this.#putOnce(key, Uint8Array.of(0), {}, { hasChecksum: true, isSigned: true });
      return this.#protection.isChecking;
    } catch {
      return false;
    } finally {
      await this.delete(key).catch(ignore);
    }
  }

  /** One PutObject, with the condition left to the server. @param protection of bytes; what has none is the SDK's */
  async #putOnce(
    key: string,
    body: PutBody,
    { ifAbsent, ifMatch, signal }: PutOptions,
    protection?: Protection,
  ): Promise<string> {
    return await this.#request(`put ${key}`, signal, async (what) => {
      const upload = openUploadBody(body, what, signal);
      try {
        const command = new PutObjectCommand({
          ...this.#address(key),
          Body: upload.content,
          ContentLength: bodySizeBytes(body),
          ...(ifAbsent && { IfNoneMatch: "*" }),
          ...(ifMatch !== undefined && { IfMatch: ifMatch }),
        });
        const isOurs = protection !== undefined && body instanceof Uint8Array;
        const checksum = isOurs ? await announcePayload(command, body, protection, upload.signal) : undefined;
        const response = await this.#client.send(command, { abortSignal: upload.signal });
        const isChecked = checksum !== undefined && response.ChecksumCRC32 === checksum;
        if (isOurs && !this.#protection.accepted(protection, isChecked)) {
          throw new BackendError(
            "unavailable",
            `${what}: the answer does not have the CRC-32 of a body that was not signed`,
          );
        }
        return versionOf(response.ETag, what);
      } catch (error) {
        if (isBackendError(upload.signal.reason, "local-file")) throw upload.signal.reason;
        const failure = toBackendError(error, what, this.url, signal);
        // An object to be replaced that is not there is 404 to S3.
        if (ifMatch !== undefined && failure.kind === "not-found") throw preconditionFailed(key, "is gone");
        throw failure;
      } finally {
        upload.dispose();
      }
    });
  }

  async #request<T>(what: string, signal: AbortSignal | undefined, task: (what: string) => Promise<T>): Promise<T> {
    throwIfAborted(signal, what);
    try {
      return await task(what);
    } catch (error) {
      throw toBackendError(error, what, this.url, signal);
    }
  }

  async #get(key: string, range: string | undefined, signal: AbortSignal | undefined): Promise<GetObjectCommandOutput> {
    const command = new GetObjectCommand({ ...this.#address(key), ...(range !== undefined && { Range: range }) });
    return await this.#client.send(command, { ...(signal && { abortSignal: signal }) });
  }

  #address(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }
}

function signingOf({ signBodies, endpoint }: S3BackendConfig): Signing {
  if (signBodies) return "always";
  // Without an endpoint it is AWS, which is asked over TLS.
  return endpoint?.startsWith("http:") === true ? "until-checked" : "never";
}

function rangeHeader({ offset, length }: ByteRange): string {
  return `bytes=${offset}-${offset + length - 1}`;
}

/** A range that reaches beyond the object is cut by the server, without an error. */
function checkContentRange(header: string | undefined, range: ByteRange, what: string): void {
  const match = /^bytes (\d+)-(\d+)\//.exec(header ?? "");
  const isAsked = Number(match?.[1]) === range.offset && Number(match?.[2]) === range.offset + range.length - 1;
  if (isAsked) return;
  throw new BackendError("bad-response", `${what}: asked for ${rangeHeader(range)}, got ${header ?? "no range"}`);
}

function versionOf(etag: string | undefined, what: string): string {
  if (etag === undefined) throw new BackendError("bad-response", `${what}: the answer has no ETag`);
  return etag;
}

function preconditionFailed(key: string, why: string): BackendError {
  return new BackendError("precondition-failed", `put ${key}: the object ${why}`);
}
