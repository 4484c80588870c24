import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { Ledger } from "../../../src/cache/ledger.js";
import type { LocalFile, Metadata } from "../../../src/meta/index.js";

/** Records of 2,000 files, 10 bytes each, every tenth dirty. */
function manyFiles(): Map<Ino, LocalFile> {
  const files = new Map<Ino, LocalFile>();
  for (let ino = 1; ino <= 2000; ino++) {
    files.set(ino as Ino, { diskBytes: 10, dirty: ino % 10 === 0 } as LocalFile);
  }
  return files;
}

function metadataOf(files: Map<Ino, LocalFile>): Metadata {
  const localFiles: Metadata["localFiles"] = (after, limit) =>
    [...files].filter(([ino]) => ino > (after ?? 0)).slice(0, limit);
  return { localFiles } as Metadata;
}

test("counting afresh is right although files change before and behind it", async () => {
  const files = manyFiles();
  const ledger = new Ledger();
  const open = new Map([[1500 as Ino, { bytes: 25, dirtyBytes: 25 }]]);
  const counting = ledger.recount(metadataOf(files), (ino) => open.get(ino), new AbortController().signal);
  const clean = (bytes: number) => ({ bytes, dirtyBytes: 0 });
  // Behind it, before it, new, and deleted.
  ledger.move(1 as Ino, clean(10), clean(30));
  files.set(1 as Ino, { ...(files.get(1 as Ino) as LocalFile), diskBytes: 30 });
  ledger.move(1900 as Ino, clean(10), clean(0));
  files.delete(1900 as Ino);
  ledger.move(2001 as Ino, clean(0), clean(7));
  files.set(2001 as Ino, { diskBytes: 7, dirty: false } as LocalFile);
  await counting;
  expect(ledger.usedBytes).toBe(2000 * 10 + 20 - 10 + 7 + 15);
  // 200 dirty ones, less the one that was deleted, and the open one is larger.
  expect(ledger.dirtyBytes).toBe(199 * 10 + 15);
});

test("what is held and discarded counts until it is released, once", () => {
  const ledger = new Ledger();
  let heard = 0;
  ledger.onLess(() => heard++);
  const release = ledger.hold(100);
  ledger.move(1 as Ino, { bytes: 0, dirtyBytes: 0 }, { bytes: 50, dirtyBytes: 50 });
  const deleted = ledger.discard(1 as Ino, { bytes: 50, dirtyBytes: 50 });
  expect([ledger.usedBytes, ledger.dirtyBytes]).toEqual([150, 0]);
  release();
  release();
  deleted();
  expect([ledger.usedBytes, heard]).toEqual([0, 3]);
});
