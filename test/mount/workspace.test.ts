import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";
import { manifestDifferences, treeManifest } from "../support/tree-manifest.js";

const PROJECT = resolve(import.meta.dirname, "../..");
const obstacle = mountObstacle();
const TEST_TIMEOUT_MS = 15 * 60_000;

/** Writes as training code does: see the facts on what real programs do. */
const CHECKPOINT_WRITER = `
import os, mmap
def payload(n, seed):
    import random
    return random.Random(seed).randbytes(n)
# torch.save: truncate, append, no fsync, no rename.
for step in range(3):
    with open("model.pt", "wb") as f:
        for part in range(24):
            f.write(payload(1 << 20, step * 100 + part))
# safetensors: full size first, written, renamed before it is closed.
fd = os.open("model.safetensors.tmp", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
os.ftruncate(fd, 20 << 20)
for part in range(20):
    os.pwrite(fd, payload(1 << 20, 1000 + part), part << 20)
os.rename("model.safetensors.tmp", "model.safetensors")
os.close(fd)
# Shards with fsync, then the metadata that makes them visible, fsynced while it is empty.
os.mkdir("dcp")
for rank in range(4):
    with open(f"dcp/__{rank}_0.distcp", "ab") as f:
        f.write(payload(3 << 20, 2000 + rank)); f.flush(); os.fsync(f.fileno())
with open("dcp/.metadata.tmp", "wb") as f:
    os.fsync(f.fileno())
    f.write(payload(70_000, 3000))
os.rename("dcp/.metadata.tmp", "dcp/.metadata")
# A large file changed in place, through write and through a mapping.
with open("tokens.bin", "wb") as f:
    f.write(payload(80 << 20, 4000))
with open("tokens.bin", "r+b") as f:
    f.seek(33 << 20); f.write(payload(100_000, 4001))
    m = mmap.mmap(f.fileno(), 0); m[5_000_000:5_000_004] = b"mmap"; m.flush(); m.close()
# A sparse file.
with open("sparse.bin", "wb") as f:
    f.truncate(40 << 20); f.seek(17 << 20); f.write(b"island")
`;

const ODD_ENTRIES = `
mkdir odd && cd odd
ln -s ../nowhere dangling && ln -s . self
echo one > first && ln first second && ln first third && rm first
mkfifo fifo && mknod null c 1 3 && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
setfattr -n user.colour -v blue second && setfattr -n user.empty second
setfattr -n user.on-a-directory -v yes . && chmod 6751 second && chown 1234:5678 second
touch -d '1969-12-31 23:59:58.123456789 UTC' old && touch -d '2106-02-07 07:00:00.5 UTC' future
printf 'x' > "$(printf 'name \\377\\001 \\xe2\\x98\\x83')" && : > "$(printf 'a%.0s' $(seq 255))"
mkdir -p deep/$(printf 'd/%.0s' $(seq 60)) && : > .hidden && mkdir -m 1777 sticky && mkdir -m 2755 setgid
rm -f old-name; echo content > old-name && mv old-name new-name
`;

/** Work as done in a /workspace: what this leaves behind must come back on the next machine. */
async function work(workspace: string): Promise<void> {
  await mkdir(join(workspace, "node_modules"));
  await shell(workspace, `tar -C "${PROJECT}/node_modules" -cf - . | tar -C node_modules -xf -`);
  await shell(workspace, `git clone -q "${PROJECT}" clone && cd clone && git status --short && git fsck --strict`);
  await shell(workspace, "python3 -m venv venv && venv/bin/python -c 'import json, sqlite3, venv'");
  await shell(
    workspace,
    `cp -r clone/native clone/binding.gyp . && cp clone/package.json . &&
     node_modules/.bin/node-gyp rebuild --nodedir="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")" >/dev/null 2>build.log ||
     { cat build.log >&2; exit 1; }`,
  );
  await shell(
    workspace,
    `python3 - <<'PY'
import sqlite3
db = sqlite3.connect("work.db")
assert db.execute("pragma journal_mode=wal").fetchone() == ("wal",)
db.execute("create table t (id integer primary key, text)")
for batch in range(20):
    with db: db.executemany("insert into t(text) values (?)", [("row %d" % i,) for i in range(500)])
other = sqlite3.connect("work.db")
assert other.execute("select count(*) from t").fetchone() == (10000,)
assert other.execute("pragma integrity_check").fetchone() == ("ok",)
PY`,
  );
  await mkdir(join(workspace, "checkpoints"));
  await shell(join(workspace, "checkpoints"), `python3 - <<'PY'\n${CHECKPOINT_WRITER}\nPY`);
  await shell(workspace, ODD_ENTRIES);
}

describe.skipIf(obstacle !== undefined)(`a workspace survives its machine (${obstacle ?? "real mounts"})`, () => {
  let server: S3TestServer;
  const machines: PodfsMachine[] = [];
  beforeAll(async () => {
    server = await startS3Server();
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
  });
  afterAll(async () => {
    await server.close();
  });

  const cases = [
    { backend: "directory", options: [] },
    { backend: "directory", options: ["--no-passthrough"] },
    { backend: "s3", options: [] },
    { backend: "s3", options: ["--no-passthrough"] },
  ] as const;

  it.each(cases)(
    "work in it, find everything again elsewhere: $backend $options",
    async ({ backend, options }) => {
      const first = await PodfsMachine.create(server.environment);
      const second = await PodfsMachine.create(server.environment);
      machines.push(first, second);
      const volume = backend === "s3" ? await server.createVolumeUrl() : await first.path("store");

      const workspace = await first.path("workspace");
      await first.mount(volume, workspace, "--create", ...options);
      await work(workspace);
      const expected = await treeManifest(workspace);
      expect(expected.size).toBeGreaterThan(10_000);
      await first.flush(workspace);
      const status = await first.status(workspace);
      expect(status.publish).toMatchObject({ pendingFiles: 0, pendingBytes: 0, pendingOperations: 0, lastError: null });
      await first.unmount(workspace);

      const elsewhere = await second.path("elsewhere");
      await second.mount(volume, elsewhere, ...options);
      const found = await treeManifest(elsewhere);
      expect(manifestDifferences(expected, found)).toEqual([]);
      await shell(join(elsewhere, "clone"), "git fsck --strict && git status --short");
      expect(existsSync(join(elsewhere, "build/Release/podfs.node"))).toBe(true);
      await shell(elsewhere, "node -e 'require(\"./build/Release/podfs.node\")'");
      await second.unmount(elsewhere);
    },
    TEST_TIMEOUT_MS,
  );
});
