import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createObjectStore, openBackend } from "../../src/backend/index.js";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";
import { manifestDifferences, treeManifest } from "../support/tree-manifest.js";

const obstacle = mountObstacle();
const FILES = 2000;
const TEST_TIMEOUT_MS = 15 * 60_000;
const PACKS_MAX = 2;
/** One of the volume, one of the lease; the new root, and the files. */
const OTHERS_MAX = 4;
const GETS_MAX = 10;
/** While there is something to upload, what can be published meanwhile becomes a segment this often (src/publish/). */
const SEGMENT_INTERVAL_MS = 5_000;

/** 2,000 files of 8 KiB on average in 20 directories, as a tar file: nothing in them compresses. */
const MAKE_TAR = `python3 - <<'PY'
import io, random, tarfile
rng = random.Random(7)
with tarfile.open("files.tar", "w") as tar:
    for i in range(${FILES}):
        info = tarfile.TarInfo("set/%02d/%04d.bin" % (i % 20, i))
        info.size = rng.randrange(1024, 15 * 1024)
        info.mtime = 1_600_000_000 + i
        tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))
PY`;

describe.skipIf(obstacle !== undefined)(`many small files (${obstacle ?? "real mounts"})`, () => {
  let server: S3TestServer;
  const machines: PodfsMachine[] = [];
  beforeAll(async () => {
    server = await startS3Server({ own: true });
    for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
  });
  afterEach(async () => {
    server.trouble = undefined;
    for (const machine of machines.splice(0)) await machine.dispose();
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server.close();
  });

  it(
    `become ${PACKS_MAX} packs and little else, and come back with at most ${GETS_MAX} GETs`,
    async () => {
      const first = await PodfsMachine.create(server.environment);
      const second = await PodfsMachine.create(server.environment);
      machines.push(first, second);
      const volume = await server.createVolumeUrl();
      const workspace = await first.path("workspace");
      await shell(first.directory, MAKE_TAR);
      const startMs = Date.now();
      await first.mount(volume, workspace, "--create");
      // Who unpacks slowly gets more packs, as is right. It must not matter here: all waits for the next mount.
      server.trouble = ({ path }) => (path.includes("/pack/") ? "hang" : undefined);
      await shell(workspace, `tar xf ${first.directory}/files.tar`);
      const expected = await treeManifest(workspace);
      expect((await first.run("umount", "--timeout", "0", workspace)).stderr).toContain("but 2,000 files");
      server.trouble = undefined;
      await first.mount(volume, workspace);
      await first.flush(workspace);
      await first.unmount(workspace);
      const segmentsMore = Math.ceil((Date.now() - startMs) / SEGMENT_INTERVAL_MS);
      const keys = await keysIn(volume);
      const packs = keys.filter((key) => key.startsWith("pack/"));
      expect(packs.length).toBeLessThanOrEqual(PACKS_MAX);
      expect(keys.length - packs.length).toBeLessThanOrEqual(OTHERS_MAX + segmentsMore);

      server.requests.length = 0;
      const elsewhere = await second.path("elsewhere");
      await second.mount(volume, elsewhere);
      expect(manifestDifferences(expected, await treeManifest(elsewhere))).toEqual([]);
      // A list is a GET too, of the bucket; the lease is read as long as the mount is there.
      const got = server.requests.filter(
        ({ method, path }) => method === "GET" && /\/(podfs\.json|log\/.*|pack\/.*)$/.test(path),
      );
      expect(got.length).toBeLessThanOrEqual(GETS_MAX + segmentsMore);
      await second.unmount(elsewhere);
    },
    TEST_TIMEOUT_MS,
  );
});

async function keysIn(volume: string): Promise<string[]> {
  const store = await createObjectStore(openBackend(volume));
  const keys: string[] = [];
  for await (const { key } of store.list("")) keys.push(key);
  await store.close();
  return keys;
}
