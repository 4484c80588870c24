import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, waitUntil } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";

const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined)(`a backend in trouble (${obstacle ?? "real mounts"})`, () => {
  let server: S3TestServer;
  const machines: PodfsMachine[] = [];
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterEach(async () => {
    server.trouble = undefined;
    for (const machine of machines.splice(0)) await machine.dispose();
  });
  afterAll(() => server.close());

  it.skipIf(process.env.PODFS_TEST_S3_ENDPOINT !== undefined).each([{ refuses: "pack" }, { refuses: "meta/log" }])(
    "does not keep anybody from working, is told by status, and is got over: $refuses",
    async ({ refuses }) => {
      const machine = await PodfsMachine.create(server.environment);
      machines.push(machine);
      const workspace = await machine.path("workspace");
      const volume = await server.createVolumeUrl();
      await machine.mount(volume, workspace, "--create");
      server.trouble = ({ method, path }) =>
        method === "PUT" && path.includes(`/${refuses}/`) ? { status: 503, code: "SlowDown" } : undefined;
      await writeFile(join(workspace, "file"), "written in an outage");
      expect(await readFile(join(workspace, "file"), "utf8")).toBe("written in an outage");
      await waitUntil(async () => {
        const { publish, backend } = await machine.status(workspace);
        return publish.lastError !== null && publish.pendingOperations > 0 && backend.retries > 0;
      }, "status tells of the trouble");
      server.trouble = undefined;
      await machine.flush(workspace);
      expect((await machine.status(workspace)).publish).toMatchObject({ pendingFiles: 0, pendingOperations: 0 });
      await machine.unmount(workspace);

      await machine.mount(volume, workspace, "--read-only");
      expect(await readFile(join(workspace, "file"), "utf8")).toBe("written in an outage");
      await machine.unmount(workspace);
    },
  );
});
