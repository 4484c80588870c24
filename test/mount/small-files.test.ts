import { readdir } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";
import { manifestDifferences, treeManifest } from "../support/tree-manifest.js";

const obstacle = mountObstacle();
const FILES = 2000;
const OBJECTS_MAX = 6;
const GETS_MAX = 10;

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
  const machines: PodfsMachine[] = [];
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  it(`become at most ${OBJECTS_MAX} objects, and come back with at most ${GETS_MAX} GETs`, async () => {
    const first = await PodfsMachine.create();
    const second = await PodfsMachine.create();
    machines.push(first, second);
    const store = await first.path("store");
    const workspace = await first.path("workspace");
    await shell(first.directory, MAKE_TAR);
    await first.mount(store, workspace, "--create");
    await shell(workspace, `tar xf ${first.directory}/files.tar`);
    await first.flush(workspace);
    const expected = await treeManifest(workspace);
    await first.unmount(workspace);

    const objects = (await readdir(store, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    expect(objects.map((entry) => entry.name).length).toBeLessThanOrEqual(OBJECTS_MAX);

    const elsewhere = await second.path("elsewhere");
    await second.mount(store, elsewhere);
    expect(manifestDifferences(expected, await treeManifest(elsewhere))).toEqual([]);
    const { backend } = await second.status(elsewhere);
    expect(backend.gets).toBeLessThanOrEqual(GETS_MAX);
    await second.unmount(elsewhere);
  }, 180_000);
});
