import { chmod, link, mkdir, mkdtemp, readdir, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TEMPORARY_DIRECTORY } from "../../../src/backend/directory/temporary-file.js";
import { createObjectStore, isBackendError, type ObjectStore } from "../../../src/backend/index.js";
import { expectKind } from "../../contract/object-store-suite.js";

const bytes = new TextEncoder().encode("content");

describe("DirectoryStore", () => {
  let parent: string;
  let root: string;
  let store: ObjectStore;

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), "podfs-directory-"));
    root = join(parent, "store");
    await mkdir(root);
    store = await createObjectStore({ kind: "directory", path: root });
  });

  afterEach(() => rm(parent, { recursive: true, force: true }));

  const temporaryNames = () => readdir(join(root, TEMPORARY_DIRECTORY));

  it("leaves no temporary file, whether a put succeeds or fails", async () => {
    await store.put("a/b", bytes, { ifAbsent: true });
    await expectKind(store.put("a/b", bytes, { ifAbsent: true }), "precondition-failed");
    await expectKind(store.put("a/b", bytes, { ifMatch: "other" }), "precondition-failed");
    await expectKind(store.put("a/c", { path: "/nowhere", sizeBytes: 5 }), "local-file");
    expect(await temporaryNames()).toEqual([]);
    expect(await readdir(join(root, "a"))).toEqual(["b"]);
  });

  it("keeps what it stores private to the user, whatever the umask", async () => {
    const before = process.umask(0);
    try {
      await store.put("pack/ab/object", bytes);
    } finally {
      process.umask(before);
    }
    expect((await stat(join(root, "pack/ab/object"))).mode & 0o777).toBe(0o600);
    expect((await stat(join(root, "pack/ab"))).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, TEMPORARY_DIRECTORY))).mode & 0o777).toBe(0o700);
  });

  it("does not list what a crash, or somebody else, has left", async () => {
    await store.put("a/object", bytes);
    await writeFile(join(root, TEMPORARY_DIRECTORY, "leftover"), "half an obj");
    await writeFile(join(root, "README.txt"), "do not touch");
    await writeFile(join(root, "a", ".nfs0000000"), "silly rename");
    await symlink("/etc", join(root, "etc"));
    await symlink("/etc/passwd", join(root, "a", "passwd"));
    const page = await store.listPage("");
    expect(page.objects.map(({ key }) => key)).toEqual(["a/object"]);
    expect(await store.head("a/passwd")).toBeUndefined();
    await expect(store.get("a/passwd")).rejects.toSatisfy((error) => isBackendError(error));
  });

  it("removes leftovers when they are old, and not before", async () => {
    await mkdir(join(root, TEMPORARY_DIRECTORY));
    const daysAgo = (count: number) => new Date(Date.now() - count * 86_400_000);
    for (const [name, age] of [
      ["old", 2],
      ["young", 0.5],
    ] as const) {
      await writeFile(join(root, TEMPORARY_DIRECTORY, name), "");
      await utimes(join(root, TEMPORARY_DIRECTORY, name), daysAgo(age), daysAgo(age));
    }
    await store.put("a/object", bytes);
    expect(await temporaryNames()).toEqual(["young"]);
  });

  it("says that a missing directory is missing, and does not make it", async () => {
    const missing = await createObjectStore({ kind: "directory", path: join(parent, "missing") });
    for (const request of [
      () => missing.get("a"),
      () => missing.put("a", bytes),
      () => missing.head("a"),
      () => missing.delete("a"),
      () => missing.listPage(""),
      () => missing.probe(),
    ]) {
      const error = await request().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ kind: "no-such-backend", retryable: false });
      expect(String(error)).toMatch(/missing does not exist: a typing error, or not mounted\?$/);
    }
    expect(await readdir(parent)).toEqual(["store"]);
  });

  it("says that a file is no directory", async () => {
    await writeFile(join(parent, "file"), "");
    const file = await createObjectStore({ kind: "directory", path: join(parent, "file") });
    await expectKind(file.get("a"), "no-such-backend");
    await expectKind(file.put("a", bytes), "no-such-backend");
  });

  it("recovers when somebody removes its directories", async () => {
    await store.put("pack/ab/one", bytes);
    await rm(join(root, "pack"), { recursive: true });
    await rm(join(root, TEMPORARY_DIRECTORY), { recursive: true });
    await expectKind(store.put("pack/ab/two", bytes), "unavailable");
    await store.put("pack/ab/two", bytes);
    expect((await store.get("pack/ab/two")).body).toEqual(bytes);
  });

  it("waits for a lock that somebody holds, and breaks one that a crash has left", async () => {
    const version = await store.put("meta/lease", bytes);
    // What withReplaceLock leaves behind when its process dies.
    const { createHash } = await import("node:crypto");
    const name = `lock-${createHash("sha256").update("meta/lease").digest("hex")}`;
    const lock = join(root, TEMPORARY_DIRECTORY, name);
    await writeFile(join(parent, "holder"), "");
    await link(join(parent, "holder"), lock);
    await expectKind(store.put("meta/lease", bytes, { ifMatch: version }), "unavailable");
    const longAgo = new Date(Date.now() - 120_000);
    await utimes(lock, longAgo, longAgo);
    await store.put("meta/lease", bytes, { ifMatch: version });
    expect(await temporaryNames()).toEqual([]);
  });

  it.skipIf(process.getuid?.() === 0)("says what it has no permission for", async () => {
    await chmod(root, 0o500);
    await expectKind(store.put("a", bytes), "access-denied");
    await chmod(root, 0o700);
  });

  it("does not take the mount point that is left after an unmount for an empty volume", async () => {
    await store.put("a", bytes);
    // Another directory in its place, on another device: /dev/shm is a filesystem of its own.
    const elsewhere = await mkdtemp("/dev/shm/podfs-directory-");
    try {
      await rename(root, join(parent, "away"));
      await symlink(elsewhere, root);
      await expectKind(store.get("a"), "unavailable");
      await expectKind(store.put("b", bytes), "unavailable");
      await expectKind(store.head("a"), "unavailable");
      await expectKind(store.listPage(""), "unavailable");
      expect(await readdir(elsewhere)).toEqual([]);
      await rm(root);
      await rename(join(parent, "away"), root);
      expect((await store.get("a")).body).toEqual(bytes);
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });
});
