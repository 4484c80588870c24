import { lstat, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createObjectStore, openBackend } from "../../src/backend/index.js";
import { mountObstacle, PodfsMachine } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";

const obstacle = mountObstacle();
const SECRET = "a-secret-that-nobody-may-read-4711";
const FOR_OTHERS = 0o077;

/** Every file and directory below, with the directory itself. */
async function everythingIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true });
  return [directory, ...entries.map((entry) => join(directory, entry))];
}

describe.skipIf(obstacle !== undefined)(`what is private (${obstacle ?? "real mounts"})`, () => {
  let server: S3TestServer;
  let machine: PodfsMachine;
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterEach(() => machine.dispose());
  afterAll(() => server.close());

  it.skipIf(process.env.PODFS_TEST_S3_ENDPOINT !== undefined)(
    "stays so: local files are the user's alone, and the secret key is in none of them, nor in the volume",
    async () => {
      // The test server does not look at signatures, so any secret will do.
      machine = await PodfsMachine.create({
        ...server.environment,
        AWS_SECRET_ACCESS_KEY: SECRET,
        PODFS_DEBUG: "1",
      });
      const workspace = await machine.path("workspace");
      const volume = await server.createVolumeUrl();
      await machine.mount(volume, workspace, "--create");
      await writeFile(join(workspace, "file"), "content");
      server.trouble = ({ method }) => (method === "PUT" ? { status: 403, code: "AccessDenied" } : undefined);
      const flushed = await machine.run("flush", workspace);
      expect(flushed.code).not.toBe(0);
      server.trouble = undefined;
      const status = await machine.runOk("status", "--json", workspace);
      const state = await everythingIn(join(machine.directory, "state"));
      const cacheRoot = join(machine.directory, "cache", "podfs");
      const [cacheName = ""] = await readdir(cacheRoot);
      // What lies in the private cache directory is out of reach, whatever its own mode.
      for (const path of [...state, join(cacheRoot, cacheName)]) {
        const { mode } = await lstat(path);
        expect({ path, forOthers: mode & FOR_OTHERS }).toEqual({ path, forOthers: 0 });
      }
      const said = [flushed.stdout, flushed.stderr, status, await machine.unmount(workspace)];
      for (const path of [...state, ...(await everythingIn(cacheRoot))]) {
        const stat = await lstat(path).catch(() => undefined);
        if (stat?.isFile() === true) said.push(await readFile(path, "latin1"));
      }
      Object.assign(process.env, server.environment);
      const store = await createObjectStore(openBackend(volume));
      let objects = 0;
      for await (const { key } of store.list("")) {
        said.push(Buffer.from((await store.get(key)).body).toString("latin1"));
        objects++;
      }
      await store.close();
      // Descriptor, lease, log, pack.
      expect(objects).toBeGreaterThanOrEqual(4);
      for (const text of said) expect(text).not.toContain(SECRET);
    },
  );
});
