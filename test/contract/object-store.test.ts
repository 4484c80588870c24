import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { createObjectStore, MemoryStore, openBackend } from "../../src/backend/index.js";
import { NO_CAPABILITIES } from "../../src/backend/object-store.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";
import { describeObjectStore } from "./object-store-suite.js";

describeObjectStore("memory", {
  open: async () => new MemoryStore(),
  // Another machine cannot have this one's memory: the same store is all there is.
  openAgain: async (store) => store,
  expected: { ...NO_CAPABILITIES, conditionalCreate: true, conditionalReplace: true },
});

describe("a directory", () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "podfs-directory-"));
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  describeObjectStore("directory", {
    open: () => createObjectStore(openBackend(directory)),
    openAgain: () => createObjectStore(openBackend(`file://${directory}`)),
    expected: { ...NO_CAPABILITIES, conditionalCreate: true },
  });
});

const isOwn = process.env.PODFS_TEST_S3_ENDPOINT === undefined;
const servers = isOwn ? [true, false] : [true];

describe.each(servers)("an S3 server that honours conditions: %s", (conditionalWrites) => {
  let server: S3TestServer;
  const before = { ...process.env };

  beforeAll(async () => {
    server = await startS3Server({ conditionalWrites });
    Object.assign(process.env, server.environment);
  });

  afterAll(async () => {
    process.env = before;
    await server.close();
  });

  describeObjectStore("s3", {
    open: async () => createObjectStore(openBackend(await server.createVolumeUrl())),
    openAgain: (store) => createObjectStore(openBackend(store.url)),
    expected: isOwn
      ? { ...NO_CAPABILITIES, conditionalCreate: conditionalWrites, conditionalReplace: conditionalWrites }
      : undefined,
  });
});
