import { describe, expect, it } from "vitest";
import { type Ino, type Name, type OpSeq, ROOT_INO } from "../../../src/base/index.js";
import { contentKey, dentryKey, inodeKey } from "../../../src/format/index.js";
import type { PendingOperation } from "../../../src/meta/index.js";
import type { Readiness } from "../../../src/publish/content-coverage.js";
import { PendingOperations, type Wanted } from "../../../src/publish/pending-operations.js";
import { selectOperations } from "../../../src/publish/selection.js";

const text = (key: Uint8Array): string => Buffer.from(key).toString("latin1");
const ino = (n: number): Ino => n as Ino;

function makeDirectory(seq: number, parent: Ino, name: string): PendingOperation {
  return operation(seq, [inodeKey(ino(seq)), dentryKey(parent, name as Name)], {
    directories: [parent],
    inodes: [parent],
  });
}

function createFile(seq: number, parent: Ino, name: string): PendingOperation {
  return operation(seq, [inodeKey(ino(seq)), contentKey(ino(seq)), dentryKey(parent, name as Name)], {
    directories: [parent],
    inodes: [parent],
    content: ino(seq),
  });
}

function content(seq: number, of: Ino): PendingOperation {
  return operation(seq, [contentKey(of)], {});
}

function rename(seq: number, of: Ino, parent: Ino, from: string, to: string): PendingOperation {
  return operation(seq, [inodeKey(of), dentryKey(parent, from as Name), dentryKey(parent, to as Name)], {
    directories: [parent],
    inodes: [parent],
    content: of,
  });
}

function removeDirectory(seq: number, of: Ino, parent: Ino, name: string): PendingOperation {
  return operation(seq, [inodeKey(of), dentryKey(parent, name as Name)], {
    directories: [parent],
    removedDirectories: [of],
  });
}

function operation(
  seq: number,
  keys: readonly Uint8Array[],
  dependencies: PendingOperation["dependencies"],
): PendingOperation {
  return { seq: seq as OpSeq, keys: keys.map(text), dependencies, sizeBytes: 100 };
}

function neededOperations(operations: readonly PendingOperation[], wanted: Wanted): Promise<Set<OpSeq>> {
  const pending = new PendingOperations();
  for (const each of operations) pending.add(each);
  return pending.neededBy(wanted);
}

/** Ready unless the content is one of these. */
function unready(...inodes: number[]): (operation: PendingOperation) => Readiness {
  return ({ dependencies }) =>
    dependencies.content === undefined || !inodes.includes(dependencies.content) ? "ready" : "waiting";
}

/** These were removed before they could be uploaded. */
function lost(...inodes: number[]): (operation: PendingOperation) => Readiness {
  return (operation) => (unready(...inodes)(operation) === "ready" ? "ready" : "with-removal");
}
const nothing: ReadonlySet<OpSeq> = new Set<OpSeq>();

describe("selectOperations", () => {
  it("selects everything, in order, when all content is there", async () => {
    const operations = [makeDirectory(2, ROOT_INO, "d"), createFile(3, ino(2), "f"), content(4, ino(3))];
    expect(await selectOperations(operations, unready(), nothing)).toEqual([2, 3, 4]);
  });

  it("holds back a file whose content is missing, and everything later in its directory", async () => {
    const operations = [createFile(2, ROOT_INO, "big"), createFile(3, ROOT_INO, "marker"), content(4, ino(3))];
    expect(await selectOperations(operations, unready(2), nothing)).toEqual([]);
  });

  it("does not hold back other directories", async () => {
    const operations = [
      makeDirectory(2, ROOT_INO, "a"),
      makeDirectory(3, ROOT_INO, "b"),
      createFile(4, ino(2), "big"),
      createFile(5, ino(3), "small"),
    ];
    expect(await selectOperations(operations, unready(4), nothing)).toEqual([2, 3, 5]);
  });

  it("lets what an fsync needs pass a file of the same directory that is still being uploaded", async () => {
    const operations = [createFile(2, ROOT_INO, "big"), createFile(3, ROOT_INO, "small"), content(4, ino(3))];
    const needed = await neededOperations(operations, { inodes: [ino(3)], directories: [] });
    expect([...needed].sort()).toEqual([3, 4]);
    expect(await selectOperations(operations, unready(2), needed)).toEqual([3, 4]);
  });

  it("publishes a removed file that was not uploaded only together with its removal", async () => {
    const elsewhere = ino(90);
    const created = [createFile(2, ROOT_INO, "x"), rename(3, ino(2), ROOT_INO, "x", "y")];
    const replacing = operation(
      6,
      [inodeKey(ino(5)), inodeKey(ino(2)), contentKey(ino(2)), dentryKey(elsewhere, "new" as Name)],
      { directories: [elsewhere], inodes: [ino(5), ino(2)], content: ino(5) },
    );
    const operations = [...created, createFile(5, elsewhere, "new"), replacing];
    const readiness = (operation: PendingOperation): Readiness => {
      const first = lost(2)(operation);
      return first === "ready" ? unready(5)(operation) : first;
    };
    expect(await selectOperations(operations, readiness, nothing)).toEqual([]);
    expect(await selectOperations(operations, lost(2), nothing)).toEqual([2, 3, 5, 6]);
  });

  it("never publishes a file without its content because a later rename is held back", async () => {
    const busy = ino(90);
    const operations = [
      createFile(2, busy, "big"),
      createFile(3, ROOT_INO, "f"),
      operation(4, [inodeKey(ino(3)), dentryKey(ROOT_INO, "f" as Name), dentryKey(busy, "f" as Name)], {
        directories: [ROOT_INO, busy],
        content: ino(3),
      }),
      content(5, ino(3)),
    ];
    expect(await selectOperations(operations, unready(2), nothing)).toEqual([3, 5]);
  });

  it("never publishes a rename before the content of what it renames", async () => {
    const operations = [createFile(2, ROOT_INO, "x.tmp"), rename(3, ino(2), ROOT_INO, "x.tmp", "x")];
    expect(await selectOperations(operations, unready(2), new Set([3 as OpSeq]))).toEqual([]);
    expect(await selectOperations(operations, unready(), nothing)).toEqual([2, 3]);
  });

  it("never publishes an entry of a directory that is not published", async () => {
    const operations = [
      createFile(2, ROOT_INO, "big"),
      makeDirectory(3, ROOT_INO, "d"),
      createFile(4, ino(3), "f"),
      content(5, ino(4)),
    ];
    expect(await selectOperations(operations, unready(2), nothing)).toEqual([]);
    const needed = await neededOperations(operations, { inodes: [ino(4)], directories: [] });
    expect(await selectOperations(operations, unready(2), needed)).toEqual([3, 4, 5]);
  });

  it("never removes a directory before what was moved out of it", async () => {
    const operations = [
      operation(10, [inodeKey(ino(5)), dentryKey(ino(4), "f" as Name), dentryKey(ROOT_INO, "f" as Name)], {
        directories: [ino(4), ROOT_INO],
        content: ino(5),
      }),
      removeDirectory(11, ino(4), ROOT_INO, "d"),
    ];
    expect(await selectOperations(operations, unready(5), new Set([11 as OpSeq]))).toEqual([]);
    expect(await selectOperations(operations, unready(), nothing)).toEqual([10, 11]);
  });
});

describe("PendingOperations.neededBy", () => {
  it("includes the directories above, and their renames", async () => {
    const operations = [
      makeDirectory(2, ROOT_INO, "a"),
      createFile(3, ino(2), "f"),
      createFile(4, ROOT_INO, "unrelated"),
      operation(5, [inodeKey(ino(2)), dentryKey(ROOT_INO, "a" as Name), dentryKey(ROOT_INO, "b" as Name)], {
        directories: [ROOT_INO],
      }),
    ];
    const needed = await neededOperations(operations, { inodes: [ino(3)], directories: [] });
    expect([...needed].sort()).toEqual([2, 3, 5]);
  });

  it("forgets what was shipped", async () => {
    const pending = new PendingOperations();
    pending.add(makeDirectory(2, ROOT_INO, "a"));
    pending.add(createFile(3, ino(2), "f"));
    pending.delete(2 as OpSeq);
    expect([...(await pending.neededBy({ inodes: [ino(3)], directories: [] }))]).toEqual([3]);
    expect([...pending.inDirectory(ROOT_INO)]).toEqual([]);
  });

  it("includes all entries of a wanted directory", async () => {
    const operations = [createFile(2, ROOT_INO, "a"), createFile(3, ROOT_INO, "b"), createFile(4, ino(9), "c")];
    const needed = await neededOperations(operations, { inodes: [], directories: [ROOT_INO] });
    expect([...needed].sort()).toEqual([2, 3]);
  });

  it("finds a few among thousands, of which some are shipped meanwhile, some before anybody looked", async () => {
    const pending = new PendingOperations();
    pending.add(makeDirectory(2, ROOT_INO, "a"));
    for (let seq = 3; seq < 3000; seq++) pending.add(createFile(seq, ino(2), `f${seq}`));
    for (let seq = 3000; seq < 3100; seq++) pending.add(content(seq, ino(10 + (seq % 50))));
    for (const seq of [3, 2500, 3010]) pending.delete(seq as OpSeq);
    expect([...(await pending.neededBy({ inodes: [ino(10)], directories: [] }))].sort(byNumber)).toEqual([
      2, 10, 3000, 3050,
    ]);
    const directory = pending.neededBy({ inodes: [], directories: [ino(2)] });
    pending.delete(2000 as OpSeq);
    const needed = await directory;
    for (const seq of [3, 2500, 3010]) expect(needed).not.toContain(seq);
    for (const seq of [2, 4, 1000, 2999, 3099]) expect(needed).toContain(seq);
    const seqs = Array.from(pending.values(), ({ seq }) => seq);
    for (const seq of seqs) pending.delete(seq);
    expect(pending.size).toBe(0);
    expect([...(await pending.neededBy({ inodes: [ino(10)], directories: [ino(2)] }))]).toEqual([]);
    expect(pending.needContent(ino(10))).toBe(false);
  });
});

function byNumber(a: number, b: number): number {
  return a - b;
}
