import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ChunkHash, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { InlineTasks, openFollower } from "../../../src/meta/index.js";
import {
  chunkRecord,
  createFile,
  keysOf,
  localFile,
  MetaFixture,
  makeDirectory,
  name,
  packRecord,
  removeFile,
  shipAll,
  time,
  treeOf,
} from "../../support/meta-fixture.js";

describe("shipping and loading", () => {
  let fixture: MetaFixture;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
  });

  afterEach(() => fixture.close());

  it("makes a volume of one object, and a first mount adds only the lease", async () => {
    const writer = await fixture.writer("a");
    expect(await keysOf(fixture.backend)).toEqual(["meta/lease", "podfs.json"]);
    expect(writer.metadata.inode(ROOT_INO)?.mode).toBe(0o40755);
    await shipAll(writer);
    expect(await keysOf(fixture.backend, "meta/log/")).toHaveLength(1);
  });

  it("shows another machine the same tree, byte for byte", async () => {
    const a = await fixture.writer("a");
    const home = makeDirectory(a.metadata, ROOT_INO, "home");
    const hash = "ab".repeat(32) as ChunkHash;
    for (let index = 0; index < 300; index++) createFile(a.metadata, home, `file-${index}`, index);
    const big = createFile(a.metadata, home, "big\xff");
    a.metadata.update((tx) => {
      const pack = tx.addPack(packRecord("7"));
      tx.putChunk(hash, chunkRecord(pack));
      tx.putContent(big, { sizeBytes: 2000 << 20, mtime: time(5) }, Array(2000).fill(hash));
      tx.putXattr(big, name("user.note"), Buffer.from("hello"));
    });
    removeFile(a.metadata, home, "file-7");
    await shipAll(a);
    expect(Array.from(a.metadata.pendingOperations())).toEqual([]);
    const [tree, totals] = [treeOf(a.metadata), a.metadata.totals()];
    await a.close();

    const b = await fixture.writer("b");
    expect(treeOf(b.metadata)).toEqual(tree);
    expect(b.metadata.totals()).toEqual(totals);
    expect(totals).toEqual({ inodes: 302, contentBytes: 2000 << 20 });
    expect(b.metadata.chunkHashes(big, 1020, 10)).toEqual(Array(10).fill(hash));
    expect(b.metadata.chunk(hash)).toEqual(chunkRecord(1));
    expect(b.metadata.pack(1)).toEqual(packRecord("7"));
  });

  it("goes on numbering operations and packs where the last writer stopped", async () => {
    const a = await fixture.writer("a");
    createFile(a.metadata, ROOT_INO, "one");
    a.metadata.update((tx) => tx.addPack(packRecord("1")));
    await shipAll(a);
    await a.close();
    const b = await fixture.writer("b");
    expect(createFile(b.metadata, ROOT_INO, "two")).toBe(4);
    expect(b.metadata.update((tx) => tx.addPack(packRecord("2")))).toBe(2);
  });

  it("does not use up a number for an operation that changed nothing shared, or failed", async () => {
    const { metadata } = await fixture.writer("a");
    const first = createFile(metadata, ROOT_INO, "one");
    metadata.update((tx) => tx.putLocal(first, localFile()));
    expect(() =>
      metadata.update((tx) => {
        tx.deleteInode(first);
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(metadata.totals().inodes).toBe(2);
    expect(createFile(metadata, ROOT_INO, "two")).toBe(first + 1);
  });

  it("tells the publisher what it ships, in order, and again after a restart", async () => {
    const a = await fixture.writer("a");
    const heard: number[] = [];
    a.metadata.onOperation(({ seq }) => heard.push(seq));
    for (const file of ["x", "y", "z"]) createFile(a.metadata, ROOT_INO, file);
    const pending = Array.from(a.metadata.pendingOperations());
    expect(heard).toEqual(pending.slice(1).map(({ seq }) => seq));
    expect(pending[1]?.keys.map((key) => key[0])).toEqual(["I", "C", "D"]);
    expect(pending[1]?.dependencies).toMatchObject({ directories: [1], content: 2 });
    await fixture.abandon(a);
    const again = await fixture.writer("a");
    expect(Array.from(again.metadata.pendingOperations())).toEqual(pending);
  });

  it("ships many operations in several parts, which count only together", async () => {
    const a = await fixture.writer("a");
    const directory = makeDirectory(a.metadata, ROOT_INO, "many");
    for (let index = 0; index < 12_000; index++) createFile(a.metadata, directory, `${index}`.padStart(120, "x"));
    await shipAll(a);
    const objects = await keysOf(fixture.backend, "meta/log/");
    expect(objects.length).toBeGreaterThan(1);
    const tree = treeOf(a.metadata);
    await a.close();

    const first = objects[0] ?? "";
    const { body } = await fixture.backend.get(first);
    await fixture.backend.delete(first);
    const early = await openFollower({
      clock: systemClock,
      store: fixture.backend,
      tasks: new InlineTasks(fixture.backend),
      folder: fixture.cache("early"),
    });
    expect(early.metadata.totals().inodes).toBe(1);
    await fixture.backend.put(first, body);
    const changes = await early.refresh();
    expect(changes.names.get(directory)?.size).toBe(12_000);
    expect(treeOf(early.metadata)).toEqual(tree);
    await early.close();
  });

  it("keeps dirty files, garbage and facts local", async () => {
    const a = await fixture.writer("a");
    const ino = createFile(a.metadata, ROOT_INO, "dirty");
    a.metadata.update((tx) => {
      tx.putLocal(ino, localFile());
      tx.addGarbage(localFile().contentId);
    });
    a.metadata.setFact("next-content-id", "17");
    await shipAll(a);
    await a.close();
    const again = await fixture.writer("a");
    expect(Array.from(again.metadata.dirtyFiles())).toEqual([[ino, localFile()]]);
    expect(again.metadata.garbage(10)).toEqual([5]);
    expect(again.metadata.fact("next-content-id")).toBe("17");
    expect(again.metadata.localFiles(undefined, 10)).toEqual([[ino, localFile()]]);
    expect(again.metadata.localFiles(ino, 10)).toEqual([]);
    again.metadata.update((tx) => tx.putLocal(ino, localFile({ dirty: false })));
    expect(Array.from(again.metadata.dirtyFiles())).toEqual([]);
    await again.close();
    const b = await fixture.writer("b");
    expect(b.metadata.local(ino)).toBeUndefined();
    expect(b.metadata.fact("next-content-id")).toBeUndefined();
  });

  it("rewrites only the extents of a large file that changed", async () => {
    const { metadata } = await fixture.writer("a");
    const ino = createFile(metadata, ROOT_INO, "large");
    const chunks = Array<ChunkHash | null>(5000).fill("cd".repeat(32) as ChunkHash);
    const mtime = time(1);
    metadata.update((tx) => tx.putContent(ino, { sizeBytes: 5000 << 20, mtime }, chunks));
    const changed = chunks.with(3000, null);
    metadata.update((tx) => tx.putContent(ino, { sizeBytes: 5000 << 20, mtime }, changed));
    const sizes = Array.from(metadata.pendingOperations(), ({ sizeBytes }) => sizeBytes);
    expect(sizes.at(-1)).toBeLessThan(40_000);
    expect(metadata.chunkHashes(ino, 2999, 3)).toEqual([chunks[0], null, chunks[0]]);
    metadata.update((tx) => tx.putContent(ino, { sizeBytes: 1, mtime }, [null]));
    expect(metadata.chunkHashes(ino, 0, 2000).every((hash) => hash === null)).toBe(true);
  });
});
