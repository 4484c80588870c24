import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ContentId, type Ino, type OpSeq, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { DivergedError } from "../../../src/meta/index.js";
import { Journal } from "../../../src/meta/journal/journal.js";
import type { JournalRecord } from "../../../src/meta/journal/journal-frame.js";
import { readJournal } from "../../../src/meta/journal/read-journal.js";
import {
  createFile,
  localFile,
  MetaFixture,
  makeDirectory,
  removeFile,
  shipAll,
  treeOf,
} from "../../support/meta-fixture.js";

describe("after a power loss", () => {
  let fixture: MetaFixture;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
  });

  afterEach(() => fixture.close());

  const journalPath = (machine: string) => join(fixture.cache(machine), "journal");

  /** What the disk has after the power went: the journal as synced, a store full of garbage. */
  function garbleStore(machine: string): void {
    const path = join(fixture.cache(machine), "meta.lmdb");
    writeFileSync(path, Buffer.alloc(1 << 20, 0xa5));
  }

  it("pending operations and dirty files are back, on top of what the volume has", async () => {
    const a = await fixture.writer("a");
    const home = makeDirectory(a.metadata, ROOT_INO, "home");
    createFile(a.metadata, home, "shipped");
    await shipAll(a);
    const pending = createFile(a.metadata, home, "pending", 500);
    a.metadata.update((tx) => tx.putLocal(pending, localFile()));
    removeFile(a.metadata, home, "shipped");
    await a.metadata.sync();
    const [tree, totals] = [treeOf(a.metadata), a.metadata.totals()];
    const operations = Array.from(a.metadata.pendingOperations());
    await fixture.abandon(a);
    garbleStore("a");

    const again = await fixture.writer("a", { bootId: "boot-2" });
    expect(again.trustEpoch).toBe(2);
    expect(treeOf(again.metadata)).toEqual(tree);
    expect(again.metadata.totals()).toEqual(totals);
    expect(Array.from(again.metadata.pendingOperations())).toEqual(operations);
    expect(Array.from(again.metadata.dirtyFiles())).toEqual([[pending, localFile()]]);
    expect(createFile(again.metadata, home, "next")).toBe(pending + 2);
    await shipAll(again);
    const after = treeOf(again.metadata);
    await again.close();
    const b = await fixture.writer("b");
    expect(treeOf(b.metadata)).toEqual(after);
  });

  it("operations shipped out of order are not replayed", async () => {
    const a = await fixture.writer("a");
    await shipAll(a);
    const seqs = ["one", "two", "three"].map((file) => createFile(a.metadata, ROOT_INO, file) as number as OpSeq);
    await a.log.ship(seqs.slice(1, 2));
    await a.metadata.sync();
    const tree = treeOf(a.metadata);
    await fixture.abandon(a);
    garbleStore("a");
    const again = await fixture.writer("a", { bootId: "boot-2" });
    expect(Array.from(again.metadata.pendingOperations(), ({ seq }) => seq)).toEqual([seqs[0], seqs[2]]);
    expect(treeOf(again.metadata)).toEqual(tree);
    expect(again.metadata.totals().inodes).toBe(4);
  });

  it("what was shipped and not journaled in time is taken from the volume", async () => {
    const a = await fixture.writer("a");
    await a.metadata.sync();
    const before = readFileSync(journalPath("a"));
    createFile(a.metadata, ROOT_INO, "one");
    await shipAll(a);
    const tree = treeOf(a.metadata);
    await fixture.abandon(a);
    writeFileSync(journalPath("a"), before);
    garbleStore("a");
    const again = await fixture.writer("a", { bootId: "boot-2" });
    expect(treeOf(again.metadata)).toEqual(tree);
    expect(Array.from(again.metadata.pendingOperations())).toEqual([]);
  });

  it("dirty files whose content is gone are given up", async () => {
    const a = await fixture.writer("a");
    const inos = ["lost", "kept"].map((file) => createFile(a.metadata, ROOT_INO, file));
    inos.forEach((ino, index) => {
      a.metadata.update((tx) => tx.putLocal(ino, localFile({ contentId: (index + 1) as ContentId })));
    });
    await fixture.abandon(a);
    garbleStore("a");
    const again = await fixture.writer("a", { bootId: "boot-2", contentExists: (id) => id === 2 });
    expect(Array.from(again.metadata.dirtyFiles(), ([ino]) => ino)).toEqual([inos[1]]);
  });

  it("work that others have overtaken is refused, with counts", async () => {
    const a = await fixture.writer("a");
    const ino = createFile(a.metadata, ROOT_INO, "mine");
    a.metadata.update((tx) => tx.putLocal(ino, localFile({ sizeBytes: 10 })));
    await fixture.abandon(a);
    garbleStore("a");
    const b = await fixture.writer("b", { takeOver: true });
    await shipAll(b);
    await b.close();
    const refused = await fixture.writer("a", { bootId: "boot-2" }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(DivergedError);
    expect(refused).toMatchObject({ unpublished: { files: 1, bytes: 10, operations: 2 } });
    // Refused again, not half-believed.
    const twice = await fixture.writer("a", { bootId: "boot-2" }).catch((error: unknown) => error);
    expect(twice).toBeInstanceOf(DivergedError);
  });

  it("a store that was closed cleanly is trusted after a restart of the machine", async () => {
    const a = await fixture.writer("a");
    createFile(a.metadata, ROOT_INO, "pending");
    await a.close();
    rmSync(journalPath("a"));
    const again = await fixture.writer("a", { bootId: "boot-2" });
    expect(again.trustEpoch).toBe(1);
    expect(Array.from(again.metadata.pendingOperations())).toHaveLength(2);
  });

  it("a store that was deleted by hand is made again with the journal", async () => {
    const a = await fixture.writer("a");
    createFile(a.metadata, ROOT_INO, "pending");
    await a.close();
    rmSync(join(fixture.cache("a"), "meta.lmdb"));
    const again = await fixture.writer("a");
    expect(Object.keys(treeOf(again.metadata))).toEqual(["/", "/pending"]);
  });
});

describe("journal file", () => {
  let fixture: MetaFixture;
  let path: string;

  beforeEach(() => {
    fixture = new MetaFixture();
    path = join(fixture.folder, "journal");
  });

  afterEach(() => fixture.close());

  const base = { volumeUuid: "u", segment: 3, ownEpochs: [1, 2] };
  const operation = (seq: number, length = 10): JournalRecord => ({
    kind: "operation",
    seq: seq as OpSeq,
    bytes: Buffer.alloc(length, seq),
  });

  function openJournal(pending: () => Iterable<JournalRecord> = () => []): Promise<Journal> {
    return Journal.open({ path, clock: systemClock, base, pending, onError: () => {} });
  }

  it("keeps operations, dirty files and what was shipped, in the order they came", async () => {
    const journal = await openJournal();
    const dirty = (ino: number, text: string) => ({ ino: ino as Ino, record: Buffer.from(text) });
    const none = { seq: 0 as OpSeq, operation: undefined };
    for (const seq of [1, 2, 3]) {
      journal.append({ seq: seq as OpSeq, operation: Buffer.from([seq]), localChanges: [dirty(seq, "old")] });
    }
    journal.shipped([2 as OpSeq]);
    journal.append({ ...none, localChanges: [dirty(1, "new"), { ino: 3 as Ino, record: undefined }] });
    await journal.sync();
    const contents = await readJournal(path);
    await journal.close();
    expect(contents?.base).toEqual(base);
    expect(contents?.operations.map(([seq]) => seq)).toEqual([1, 3]);
    expect(contents?.dirty.map(([ino, record]) => `${ino} ${Buffer.from(record)}`)).toEqual(["1 new", "2 old"]);
  });

  it("is on disk soon without being asked", async () => {
    const journal = await openJournal();
    const emptyBytes = statSync(path).size;
    journal.append({ seq: 1 as OpSeq, operation: Buffer.alloc(100), localChanges: [] });
    expect(statSync(path).size).toBe(emptyBytes);
    await expect.poll(() => statSync(path).size).toBeGreaterThan(emptyBytes);
    await journal.close();
  });

  it("is replaced by one with only what is pending when it has grown", async () => {
    const pending = [operation(7)];
    const journal = await openJournal(() => pending);
    for (let seq = 10; seq < 20; seq++) {
      journal.append({ seq: seq as OpSeq, operation: Buffer.alloc(1 << 20), localChanges: [] });
      await journal.sync();
    }
    await journal.close();
    expect(statSync(path).size).toBeLessThan(3 << 20);
    expect(existsSync(`${path}.new`)).toBe(false);
    expect((await readJournal(path))?.operations.map(([seq]) => seq)).toContain(7);
  });

  it("without even its first frame counts as none", async () => {
    await (await openJournal()).close();
    truncateSync(path, 20);
    expect(await readJournal(path)).toBeUndefined();
    rmSync(path);
    expect(await readJournal(path)).toBeUndefined();
  });
});
