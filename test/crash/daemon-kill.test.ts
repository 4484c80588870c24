import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { background, mountObstacle, PodfsMachine, waitUntil } from "../support/podfs.js";
import { manifestDifferences, treeManifest } from "../support/tree-manifest.js";

const obstacle = mountObstacle();

/**
 * Writes files without end, as extracting an archive does, and notes each (path, hash) outside the mount once it is
 * written; now and then a file is replaced by rename, appended to, fsynced, linked or removed. A removal is noted before
 * it is asked for as well: one that was under way at the kill may have been done, and not answered.
 */
const writer = (workspace: string, notes: string, round: number): string => `exec python3 - <<'PY'
import hashlib, os, random
rng = random.Random(${round})
notes = open(${JSON.stringify(notes)}, "a", buffering=1)
def note(path, state): notes.write("%s %s\\n" % (path, state))
def sha1(data): return hashlib.sha1(data).hexdigest()
os.chdir(${JSON.stringify(workspace)})
i = 0
while True:
    directory = "r${round}-%d" % (i // 50)
    os.makedirs(directory, exist_ok=True)
    path = "%s/f%06d" % (directory, i)
    data = rng.randbytes(rng.choice([0, 10, 5000, 70_000, 1_500_000 if i % 40 == 0 else 100]))
    kind = i % 5
    with open(path if kind != 1 else path + ".tmp", "wb") as f:
        f.write(data)
        if i % 37 == 0: f.flush(); os.fsync(f.fileno())
    if kind == 1: os.rename(path + ".tmp", path)
    if kind == 2:
        with open(path, "ab") as f: f.write(b"appended")
        data += b"appended"
    note(path, sha1(data))
    if kind == 3:
        os.link(path, path + ".link"); note(path + ".link", sha1(data))
    if kind == 4 and i % 3 == 0:
        note(path, sha1(data) + "|gone"); os.unlink(path); note(path, "gone")
    i += 1
PY`;

async function check(workspace: string, notes: string): Promise<number> {
  const lines = (await readFile(notes, "utf8")).split("\n").slice(0, -1);
  const last = new Map(lines.map((line) => line.split(" ") as [string, string]));
  for (const [path, states] of last) {
    const data = await readFile(join(workspace, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    });
    const found = data === undefined ? "gone" : createHash("sha1").update(data).digest("hex");
    if (!states.split("|").includes(found)) {
      throw new Error(`${path}: expected ${states}, found ${found} (${data?.length} bytes)`);
    }
  }
  return last.size;
}

/** Every published file is whole: what the writer noted for it, or one of the states before. */
async function checkPublished(workspace: string, notes: string): Promise<number> {
  const states = new Map<string, Set<string>>();
  for (const line of (await readFile(notes, "utf8")).split("\n")) {
    const [path = "", hash = ""] = line.split(" ");
    states.set(path, (states.get(path) ?? new Set()).add(hash));
  }
  let count = 0;
  for (const name of await readdir(workspace, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const path = join(name.parentPath, name.name);
    const data = await readFile(path);
    const known = states.get(path.slice(workspace.length + 1));
    // Appended to by a second opening: the state before is whole as well. Unnoted: written in the last moment.
    const hashes = [data, Buffer.concat([data, Buffer.from("appended")])].map((bytes) =>
      createHash("sha1").update(bytes).digest("hex"),
    );
    if (known !== undefined && !hashes.some((hash) => known.has(hash))) {
      throw new Error(`${path} was published half (${data.length} bytes)`);
    }
    count++;
  }
  return count;
}

describe.skipIf(obstacle !== undefined)(`kill -9 of the daemon (${obstacle ?? "real mounts"})`, () => {
  const machines: PodfsMachine[] = [];
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  it.each([{ options: [] }, { options: ["--no-passthrough"] }])(
    "loses nothing that was written, publishes all of it later, and never shows half of it $options",
    async ({ options }) => {
      const first = await PodfsMachine.create();
      const second = await PodfsMachine.create();
      machines.push(first, second);
      const store = await first.path("store");
      const workspace = await first.path("workspace");
      const elsewhere = await second.path("elsewhere");
      const notes = join(first.directory, "notes");
      let mountOptions = ["--create", ...options];
      for (let round = 0; round < 3; round++) {
        await first.mount(store, workspace, ...mountOptions);
        mountOptions = [...options];
        if (round > 0) expect(await check(workspace, notes)).toBeGreaterThan(10);
        const writes = background("/", writer(workspace, notes, round));
        const ended = new Promise((resolve) => writes.once("exit", resolve));
        // Killed once before anything is published, later while uploads are under way.
        const wanted = round === 0 ? 30 : 500 * round;
        await waitUntil(async () => (await lineCount(notes)) >= wanted, "the writer has written");
        await first.kill(workspace);
        await ended;
        await second.mount(store, elsewhere, "--read-only");
        await checkPublished(elsewhere, notes);
        await second.unmount(elsewhere);
      }
      await first.mount(store, workspace, ...options);
      expect(await check(workspace, notes)).toBeGreaterThan(500);
      await first.flush(workspace);
      const expected = await treeManifest(workspace);
      await first.unmount(workspace);
      await second.mount(store, elsewhere);
      expect(manifestDifferences(expected, await treeManifest(elsewhere))).toEqual([]);
      await second.unmount(elsewhere);
    },
    900_000,
  );
});

async function lineCount(path: string): Promise<number> {
  return (await readFile(path, "utf8").catch(() => "")).split("\n").length - 1;
}
