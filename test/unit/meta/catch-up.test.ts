import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT_INO, systemClock } from "../../../src/base/index.js";
import { DivergedError, InlineTasks, openFollower, type WriterVolume } from "../../../src/meta/index.js";
import {
  createFile,
  localFile,
  MetaFixture,
  makeDirectory,
  name,
  removeFile,
  shipAll,
  treeOf,
} from "../../support/meta-fixture.js";

describe("catching up", () => {
  let fixture: MetaFixture;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
  });

  afterEach(() => fixture.close());

  async function write(machine: string, change: (volume: WriterVolume) => void): Promise<void> {
    const volume = await fixture.writer(machine);
    change(volume);
    await shipAll(volume);
    await volume.close();
  }

  it("applies what others have written since", async () => {
    await write("a", ({ metadata }) => createFile(metadata, ROOT_INO, "one"));
    await write("b", ({ metadata }) => createFile(metadata, ROOT_INO, "two"));
    const a = await fixture.writer("a");
    expect(Object.keys(treeOf(a.metadata))).toEqual(["/", "/one", "/two"]);
    expect(a.metadata.totals().inodes).toBe(3);
    expect(createFile(a.metadata, ROOT_INO, "three")).toBe(4);
  });

  it("gives up local images of files that others have deleted", async () => {
    await write("a", ({ metadata }) => {
      const ino = createFile(metadata, ROOT_INO, "one");
      metadata.update((tx) => tx.putLocal(ino, localFile({ dirty: false })));
    });
    await write("b", ({ metadata }) => removeFile(metadata, ROOT_INO, "one"));
    const a = await fixture.writer("a");
    expect(a.metadata.localFiles(undefined, 10)).toEqual([]);
    expect(a.metadata.garbage(10)).toEqual([localFile().contentId]);
  });

  it("refuses to mix unpublished work with what others have written, and says how much it is", async () => {
    await write("a", ({ metadata }) => createFile(metadata, ROOT_INO, "one"));
    const a = await fixture.writer("a");
    const ino = createFile(a.metadata, ROOT_INO, "unpublished");
    a.metadata.update((tx) => tx.putLocal(ino, localFile({ sizeBytes: 3 << 20 })));
    await a.close();
    await write("b", ({ metadata }) => createFile(metadata, ROOT_INO, "two"));
    const refused = await fixture.writer("a").catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(DivergedError);
    expect(refused).toMatchObject({
      kind: "diverged",
      unpublished: { files: 1, bytes: 3 << 20, operations: 1 },
      message: expect.stringContaining("1 files (3 MiB) and 1 operations"),
    });
    // The refused mount gave the lease back.
    await write("b", ({ metadata }) => createFile(metadata, ROOT_INO, "three"));
  });

  it("goes on with unpublished work when others held the lease and wrote nothing", async () => {
    const a = await fixture.writer("a");
    createFile(a.metadata, ROOT_INO, "unpublished");
    await a.close();
    const b = await fixture.writer("b");
    await b.close();
    const again = await fixture.writer("a");
    await shipAll(again);
    expect(Object.keys(treeOf(again.metadata))).toEqual(["/", "/unpublished"]);
  });

  it("does not count the root directory of a mount in which nothing was done", async () => {
    const a = await fixture.writer("a");
    await a.close();
    await write("b", ({ metadata }) => createFile(metadata, ROOT_INO, "one"));
    const again = await fixture.writer("a");
    expect(Object.keys(treeOf(again.metadata))).toEqual(["/", "/one"]);
    expect(again.metadata.totals().inodes).toBe(2);
    expect(Array.from(again.metadata.pendingOperations())).toEqual([]);
  });

  it("publishes after a crash what was pending, once", async () => {
    const a = await fixture.writer("a");
    createFile(a.metadata, ROOT_INO, "one");
    await shipAll(a);
    createFile(a.metadata, ROOT_INO, "two");
    await fixture.abandon(a);
    const again = await fixture.writer("a");
    expect(Array.from(again.metadata.pendingOperations())).toHaveLength(1);
    await shipAll(again);
    await again.close();
    const b = await fixture.writer("b");
    expect(Object.keys(treeOf(b.metadata))).toEqual(["/", "/one", "/two"]);
  });
});

describe("following", () => {
  let fixture: MetaFixture;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
  });

  afterEach(() => fixture.close());

  const follow = () =>
    openFollower({
      clock: systemClock,
      store: fixture.backend,
      tasks: new InlineTasks(fixture.backend),
      folder: fixture.cache("follower"),
      bootId: "boot-1",
    });

  it("shows an empty root before anybody has written", async () => {
    const follower = await follow();
    expect(follower.metadata.inode(ROOT_INO)?.mode).toBe(0o40755);
    expect(follower.metadata.dentries(ROOT_INO, undefined, 10)).toEqual([]);
    const writer = await fixture.writer("a");
    createFile(writer.metadata, ROOT_INO, "one");
    await shipAll(writer);
    await follower.refresh();
    expect(treeOf(follower.metadata)).toEqual(treeOf(writer.metadata));
    expect(follower.metadata.totals()).toEqual(writer.metadata.totals());
    await follower.close();
  });

  it("tells what changed: names, and inodes with new attributes", async () => {
    const writer = await fixture.writer("a");
    const home = makeDirectory(writer.metadata, ROOT_INO, "home");
    createFile(writer.metadata, home, "old");
    await shipAll(writer);
    const follower = await follow();
    expect((await follower.refresh()).inodes.size).toBe(0);
    const created = createFile(writer.metadata, home, "new");
    removeFile(writer.metadata, home, "old");
    await shipAll(writer);
    const { inodes, names } = await follower.refresh();
    expect([...names].map(([parent, set]) => [parent, [...set].sort()])).toEqual([[home, ["new", "old"]]]);
    expect([...inodes].sort((a, b) => a - b)).toEqual([home, 3, created]);
    expect(treeOf(follower.metadata)).toEqual(treeOf(writer.metadata));
    await follower.close();
  });

  it("cannot change the volume, but keeps local records", async () => {
    const writer = await fixture.writer("a");
    const ino = createFile(writer.metadata, ROOT_INO, "one");
    await shipAll(writer);
    const follower = await follow();
    expect(() => follower.metadata.update((tx) => tx.putXattr(ino, name("user.x"), Buffer.of(1)))).toThrow("follows");
    follower.metadata.update((tx) => tx.putLocal(ino, localFile({ dirty: false })));
    expect(follower.metadata.local(ino)?.complete).toBe(true);
    expect(follower.metadata.xattrNames(ino)).toEqual([]);
    await follower.close();
  });
});
