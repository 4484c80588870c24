/// <reference path="./s3rver.d.ts" />
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rename, rm, unlink } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import S3Object from "s3rver/lib/models/object.js";
import FilesystemStore from "s3rver/lib/stores/filesystem.js";
import { ignore, KeyedQueue } from "../../src/base/index.js";

const OBJECT_SUFFIX = "._S3rver_object";

/**
 * s3rver's store with the behaviour of S3 that podfs relies on and s3rver lacks: a put becomes visible all at once (a
 * broken connection leaves nothing), lists are in key order, and the range `bytes=0-0` is one byte.
 */
export class S3ServerStore extends FilesystemStore {
  /** An object is three files; nobody may see two of them. */
  readonly #queue = new KeyedQueue<string>();
  readonly #staging: string;

  constructor(directory: string, staging: string) {
    super(directory);
    this.#staging = staging;
  }

  override async putObject(object: S3Object): Promise<{ size: number; md5: string }> {
    const { bucket, key } = object;
    const staged = join(this.#staging, randomUUID());
    const hash = createHash("md5");
    let size = 0;
    try {
      const source = object.content instanceof Readable ? object.content : Readable.from([object.content ?? ""]);
      await pipeline(
        source,
        async function* (parts: AsyncIterable<Buffer>) {
          for await (const part of parts) {
            hash.update(part);
            size += part.length;
            yield part;
          }
        },
        createWriteStream(staged),
      );
      const md5 = hash.digest("hex");
      await this.#queue.run(`${bucket}/${key}`, async () => {
        const path = this.getResourcePath(bucket, key, "object");
        await mkdir(dirname(path), { recursive: true });
        await rename(staged, path);
        await super.putMetadata(bucket, key, object.metadata, md5);
      });
      return { size, md5 };
    } finally {
      await rm(staged, { force: true });
    }
  }

  override getObject(bucket: string, key: string, options: { start?: number; end?: number }): Promise<S3Object | null> {
    return this.#queue.run(`${bucket}/${key}`, async () => {
      if (options.end !== 0) return await super.getObject(bucket, key, options);
      const object = await super.getObject(bucket, key, {});
      if (object === null) return null;
      if (object.content instanceof Readable) object.content.destroy();
      object.content = createReadStream(this.getResourcePath(bucket, key, "object"), { start: 0, end: 0 });
      object.range = { start: 0, end: 0 };
      return object;
    });
  }

  /** Keeps empty directories: removing them would race with puts that have just made them. */
  override deleteObject(bucket: string, key: string): Promise<void> {
    return this.#queue.run(`${bucket}/${key}`, async () => {
      for (const resource of ["object", "object.md5", "metadata.json"]) {
        await unlink(this.getResourcePath(bucket, key, resource)).catch(ignore);
      }
    });
  }

  override async listObjects(
    bucket: string,
    { startAfter = "", prefix = "", maxKeys = 1000 }: { startAfter?: string; prefix?: string; maxKeys?: number },
  ): Promise<{ objects: S3Object[]; commonPrefixes: string[]; isTruncated: boolean }> {
    const root = join(this.rootDirectory, bucket);
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    const keys = entries
      .filter((entry) => entry.isFile() && entry.name.endsWith(OBJECT_SUFFIX))
      .map((entry) => join(relative(root, entry.parentPath), basename(entry.name, OBJECT_SUFFIX)))
      .filter((key) => key.startsWith(prefix) && key > startAfter)
      .sort();
    const objects: S3Object[] = [];
    for (const key of keys.slice(0, maxKeys)) {
      const metadata = await this.#queue.run(`${bucket}/${key}`, () => this.getMetadata(bucket, key)).catch(ignore);
      if (metadata) objects.push(new S3Object(bucket, key, null, metadata));
    }
    return { objects, commonPrefixes: [], isTruncated: keys.length > maxKeys };
  }
}
