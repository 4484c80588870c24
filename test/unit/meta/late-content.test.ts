import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ChunkHash, type OpSeq, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { type FileContent, type FollowerVolume, InlineTasks, openFollower } from "../../../src/meta/index.js";
import {
  createFile,
  MetaFixture,
  name,
  removeFile,
  shipAll,
  storedKinds,
  time,
  treeOf,
} from "../../support/meta-fixture.js";

const MIB = 1 << 20;
let fixture: MetaFixture;

beforeEach(async () => {
  fixture = new MetaFixture();
  await fixture.create();
});
afterEach(() => fixture.close());

function content(chunks: number): FileContent {
  const hash = (index: number) => createHash("sha256").update(String(index)).digest("hex") as ChunkHash;
  return { sizeBytes: chunks * MIB, mtime: time(150), chunks: Array.from({ length: chunks }, (_, i) => hash(i)) };
}

async function follow(machine: string): Promise<FollowerVolume> {
  const store = fixture.backend;
  return openFollower({ clock: systemClock, store, tasks: new InlineTasks(store), folder: fixture.cache(machine) });
}

it.each([{ chunks: 3 }, { chunks: 20 }, { chunks: 2100 }])(
  "gives a removed file's creation a content of $chunks chunks, and its removal leaves nothing of it",
  async ({ chunks }) => {
    const writer = await fixture.writer("a");
    const { metadata } = writer;
    await shipAll(writer);
    const ino = createFile(metadata, ROOT_INO, "late");
    removeFile(metadata, ROOT_INO, "late", { unpublishedBytes: chunks * MIB });
    const [creation, removal] = pending(writer);
    const totals = metadata.totals();
    expect(metadata.addLateContent(ino, content(chunks), { carrier: creation, removal })).toBe(true);
    expect(metadata.totals()).toEqual(totals);
    await writer.log.ship([creation]);
    const reader = await follow("reader");
    expect(reader.metadata.dentry(ROOT_INO, name("late"))?.ino).toBe(ino);
    expect(reader.metadata.content(ino)).toMatchObject({ sizeBytes: chunks * MIB, version: creation });
    expect(reader.metadata.chunkHashes(ino, 0, chunks)).toEqual(content(chunks).chunks);
    await writer.log.ship([removal]);
    await reader.refresh();
    expect(treeOf(reader.metadata)).toEqual(treeOf(metadata));
    await reader.close();
    expect(await storedKinds(fixture.cache("reader"), ino)).toEqual([]);
  },
);

it("lets a later operation carry it where the creation is in the volume, in place of a longer content", async () => {
  const writer = await fixture.writer("a");
  const { metadata } = writer;
  const ino = createFile(metadata, ROOT_INO, "tmp");
  const before = content(2100);
  metadata.update((tx) => tx.putContent(ino, before, before.chunks));
  await shipAll(writer);
  metadata.update((tx) => {
    const dentry = tx.dentry(ROOT_INO, name("tmp"));
    if (dentry === undefined) throw new Error("not there");
    tx.deleteDentry(ROOT_INO, name("tmp"));
    tx.putDentry(ROOT_INO, name("x"), dentry);
    tx.dependsOn({ directories: [ROOT_INO], inodes: [ino], content: ino });
  });
  removeFile(metadata, ROOT_INO, "x", { unpublishedBytes: 20 * MIB });
  const [rename, removal] = pending(writer);
  expect(metadata.addLateContent(ino, content(20), { carrier: rename, removal })).toBe(true);
  await writer.log.ship([rename]);
  const reader = await follow("reader");
  expect(reader.metadata.content(ino)).toMatchObject({ sizeBytes: 20 * MIB, version: rename });
  expect(reader.metadata.chunkHashes(ino, 0, 2100).filter((hash) => hash !== null)).toEqual(content(20).chunks);
  await writer.log.ship([removal]);
  await reader.refresh();
  await reader.close();
  expect(await storedKinds(fixture.cache("reader"), ino)).toEqual([]);
});

it("refuses where the removal would leave some of it behind, or nothing is pending any more", async () => {
  const writer = await fixture.writer("a");
  const { metadata } = writer;
  await shipAll(writer);
  const ino = createFile(metadata, ROOT_INO, "late");
  removeFile(metadata, ROOT_INO, "late", { unpublishedBytes: 20 * MIB });
  const [carrier, removal] = pending(writer);
  expect(metadata.addLateContent(ino, content(1025), { carrier, removal })).toBe(false);
  await shipAll(writer);
  expect(metadata.addLateContent(ino, content(20), { carrier, removal })).toBe(false);
  expect(pending(writer)).toEqual([]);
});

function pending({ metadata }: Awaited<ReturnType<MetaFixture["writer"]>>): [OpSeq, OpSeq] {
  return Array.from(metadata.pendingOperations(), ({ seq }) => seq) as [OpSeq, OpSeq];
}
