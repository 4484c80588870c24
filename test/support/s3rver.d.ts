/** What the tests use of npm's s3rver, which has no types of its own. */
declare module "s3rver" {
  import type { Server } from "node:http";

  interface S3rverContext {
    readonly req: import("node:http").IncomingMessage;
    readonly res: import("node:http").ServerResponse;
    readonly method: string;
    readonly path: string;
    readonly query: Readonly<Record<string, string | undefined>>;
    readonly headers: import("node:http").IncomingHttpHeaders;
    status: number;
    type: string;
    body: string;
    respond: boolean;
  }

  export default class S3rver {
    constructor(options: {
      address: string;
      port: number;
      silent: boolean;
      directory: string;
      vhostBuckets: boolean;
      configureBuckets: { name: string }[];
    });
    readonly context: { store: unknown };
    readonly middleware: ((context: S3rverContext, next: () => Promise<void>) => Promise<void>)[];
    store: unknown;
    httpServer: Server;
    run(): Promise<{ address: string; port: number }>;
    close(): Promise<void>;
  }

  export type { S3rverContext };
}

declare module "s3rver/lib/models/object.js" {
  import type { Readable } from "node:stream";

  export default class S3Object {
    constructor(bucket: string, key: string, content: Readable | null, metadata: Record<string, unknown>);
    readonly bucket: string;
    readonly key: string;
    content: Readable | Buffer | null;
    readonly metadata: Record<string, unknown>;
    range?: { start: number; end: number };
  }
}

declare module "s3rver/lib/stores/filesystem.js" {
  import type S3Object from "s3rver/lib/models/object.js";

  export default class FilesystemStore {
    constructor(directory: string);
    readonly rootDirectory: string;
    getResourcePath(bucket: string, key: string, resource: string): string;
    getMetadata(bucket: string, key: string): Promise<Record<string, unknown>>;
    putMetadata(bucket: string, key: string, metadata: Record<string, unknown>, md5: string): Promise<void>;
    getObject(bucket: string, key: string, options: { start?: number; end?: number }): Promise<S3Object | null>;
    putObject(object: S3Object): Promise<{ size: number; md5: string }>;
    deleteObject(bucket: string, key: string): Promise<void>;
    listObjects(
      bucket: string,
      options: { startAfter?: string; prefix?: string; maxKeys?: number },
    ): Promise<{ objects: S3Object[]; commonPrefixes: string[]; isTruncated: boolean }>;
  }
}
