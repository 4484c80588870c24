/** Transactions over LMDB: what each operation of the filesystem costs before anything else does. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, bench, describe } from "vitest";
import { type Ino, ROOT_INO } from "../../src/base/index.js";
import { openTestVolume } from "../../test/support/fs-fixture.js";
import { createFile, makeDirectory, name } from "../../test/support/meta-fixture.js";

const FILES = 1000;
const folder = mkdtempSync(join(tmpdir(), "podfs-bench-store-"));
const metadata = openTestVolume(join(folder, "meta"));
const directory = makeDirectory(metadata, ROOT_INO, "directory");
const inos = Array.from({ length: FILES }, (_, index) => createFile(metadata, directory, `file-${index}`));
let next = 0;

afterAll(async () => {
  await metadata.close();
  rmSync(folder, { recursive: true });
});

describe("reading", () => {
  bench("inode", () => void metadata.inode(inos[next++ % FILES] as Ino));
  bench("dentry that is there", () => void metadata.dentry(directory, name(`file-${next++ % FILES}`)));
  bench("dentry that is not", () => void metadata.dentry(directory, name("absent")));
  bench("1,000 dentries", () => {
    let count = 0;
    for (const _dentry of metadata.dentries(directory, undefined, FILES)) count += 1;
    if (count !== FILES) throw new Error(`${count} dentries`);
  });
});

describe("writing", () => {
  // Each call is an operation nobody ships: a bounded number, or the store itself is what grows.
  const bounded = { iterations: FILES, time: 0 };
  let made = 0;
  bench("create a file", () => void createFile(metadata, directory, `new-${made++}`), bounded);
  bench(
    "change an inode",
    () =>
      metadata.update((tx) => {
        const ino = inos[next++ % FILES] as Ino;
        const inode = tx.inode(ino);
        if (inode !== undefined) tx.putInode(ino, { ...inode, mode: inode.mode ^ 0o1 });
      }),
    bounded,
  );
});
