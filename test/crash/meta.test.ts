import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createObjectStore, type ObjectStore } from "../../src/backend/index.js";
import { ROOT_INO, systemClock } from "../../src/base/index.js";
import { createVolume, InlineTasks, type Metadata, openFollower, openWriter } from "../../src/meta/index.js";
import { shipAll, treeOf } from "../support/meta-fixture.js";

const CHILD = fileURLToPath(new URL("meta-writer.mjs", import.meta.url));
const WORKER =
  process.env.PODFS_TEST_WORKER_FILE ?? fileURLToPath(new URL("../../dist/transfer/worker.js", import.meta.url));
const DIST = dirname(dirname(WORKER));

let root: string;
let store: ObjectStore;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "podfs-meta-crash-"));
  mkdirSync(join(root, "backend"));
  store = await createObjectStore({ kind: "directory", path: join(root, "backend") });
  await createVolume(store, systemClock);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Runs the writer until it says it has created so many files, then kills it. Resolves to what it said last. */
async function createUntilKilled(files: number): Promise<number> {
  const child = spawn(process.execPath, [CHILD, DIST, root], { stdio: ["ignore", "pipe", "inherit"] });
  let said = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    said = Number(line);
    if (said >= files) child.kill("SIGKILL");
  }
  return said;
}

const openAgain = () =>
  openWriter({
    store,
    tasks: new InlineTasks(store),
    clock: systemClock,
    folder: join(root, "cache"),
    holder: { id: "a", host: "host", pid: process.pid, mountpoint: "/workspace" },
    root: { mode: 0o755, uid: 0, gid: 0 },
    contentExists: () => true,
    onError: () => {},
  });

const follow = (machine: string) =>
  openFollower({ clock: systemClock, store, tasks: new InlineTasks(store), folder: join(root, machine) });

function filesOf(metadata: Metadata): string[] {
  return metadata.dentries(ROOT_INO, undefined, 1_000_000).map(([name]) => name as string);
}

/** The first so many files, none missing: every operation that was done is there, and none is half there. */
function expectPrefix(metadata: Metadata): number {
  const files = filesOf(metadata);
  expect(files).toEqual(files.map((_, index) => `file-${String(index).padStart(6, "0")}`));
  for (const [, { ino }] of metadata.dentries(ROOT_INO, undefined, 1_000_000)) {
    expect(metadata.inode(ino)).toBeDefined();
    expect(metadata.content(ino)?.sizeBytes).toBe(3);
  }
  const root = metadata.inode(ROOT_INO) === undefined ? 0 : 1;
  expect(metadata.totals()).toEqual({ inodes: files.length + root, contentBytes: 3 * files.length });
  return files.length;
}

it.each([100, 2_300, 10_000])(
  "kill -9 after %i operations loses none of them, and publishes each once",
  async (count) => {
    const said = await createUntilKilled(count);
    const before = await follow("before");
    const published = expectPrefix(before.metadata);
    await before.close();

    const volume = await openAgain();
    const found = expectPrefix(volume.metadata);
    expect(found).toBeGreaterThanOrEqual(said);
    expect(found).toBeGreaterThanOrEqual(published);
    await shipAll(volume);
    const tree = treeOf(volume.metadata);
    await volume.close();

    const after = await follow("after");
    expectPrefix(after.metadata);
    expect(treeOf(after.metadata)).toEqual(tree);
    await after.close();
  },
);
