import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, type Name, type OpSeq, ROOT_INO, systemClock } from "../../../src/base/index.js";
import { type FollowerVolume, InlineTasks, type Metadata, openFollower } from "../../../src/meta/index.js";
import { selectOperations } from "../../../src/publish/selection.js";
import {
  createFile,
  MetaFixture,
  makeDirectory,
  removeFile,
  shipAll,
  time,
  treeOf,
} from "../../support/meta-fixture.js";

/** mulberry32: small, and the same on every machine. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const SEED = Number(process.env.PODFS_TEST_SEED ?? Date.now() % 1_000_000);
const ROUNDS = 40;
const OPERATIONS_PER_ROUND = 25;

describe(`shipping out of order (PODFS_TEST_SEED=${SEED})`, () => {
  let fixture: MetaFixture;
  let follower: FollowerVolume;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
    follower = await openFollower({
      clock: systemClock,
      store: fixture.backend,
      tasks: new InlineTasks(fixture.backend),
      folder: fixture.cache("follower"),
    });
  });

  afterEach(async () => {
    await follower.close();
    await fixture.close();
  });

  it("always shows a consistent tree, and in the end the one of the writer", async () => {
    const random = randomOf(SEED);
    const writer = await fixture.writer("a");
    const { metadata } = writer;
    const model = new RandomTree(metadata, random);
    const unready = new Set<Ino>();
    for (let round = 0; round < ROUNDS; round++) {
      for (let count = 0; count < OPERATIONS_PER_ROUND; count++) {
        const created = model.step();
        if (created !== undefined && random(2) === 0) unready.add(created);
      }
      for (const ino of unready) if (random(4) === 0 || metadata.inode(ino) === undefined) unready.delete(ino);
      const pending = Array.from(metadata.pendingOperations());
      const readiness = ({ dependencies }: (typeof pending)[number]) =>
        dependencies.content === undefined || !unready.has(dependencies.content) ? "ready" : "waiting";
      const needed = new Set<OpSeq>(pending.filter(() => random(3) === 0).map(({ seq }) => seq));
      await writer.log.ship(await selectOperations(pending, readiness, needed));
      await follower.refresh();
      expectConsistent(follower.metadata);
    }
    await shipAll(writer);
    await follower.refresh();
    expect(treeOf(follower.metadata)).toEqual(treeOf(metadata));
    expect(follower.metadata.totals()).toEqual(metadata.totals());
    const fresh = await openFollower({
      clock: systemClock,
      store: fixture.backend,
      tasks: new InlineTasks(fixture.backend),
      folder: fixture.cache("fresh"),
    });
    expect(treeOf(fresh.metadata)).toEqual(treeOf(metadata));
    expect(fresh.metadata.totals()).toEqual(metadata.totals());
    await fresh.close();
  });
});

/** Every name leads to an inode, every file has content, and link counts are those of the names there are. */
function expectConsistent(metadata: Metadata): void {
  const visit = (directory: Ino) => {
    let subdirectories = 0;
    for (const [entry, { ino, type }] of metadata.dentries(directory, undefined, 10_000)) {
      expect(metadata.inode(ino), `inode of ${entry}`).toBeDefined();
      if (type === 0o040000) {
        subdirectories += 1;
        visit(ino);
      } else expect(metadata.content(ino), `content of ${entry}`).toBeDefined();
    }
    expect(metadata.directoryTimes(directory)?.nlink, `links of directory ${directory}`).toBe(2 + subdirectories);
  };
  visit(ROOT_INO);
}

interface File {
  readonly parent: Ino;
  readonly name: string;
  readonly ino: Ino;
}

class RandomTree {
  readonly #metadata: Metadata;
  readonly #random: (below: number) => number;
  #directories: { readonly ino: Ino; readonly parent: Ino; readonly name: string }[] = [];
  #files: File[] = [];
  #count = 0;

  constructor(metadata: Metadata, random: (below: number) => number) {
    this.#metadata = metadata;
    this.#random = random;
  }

  /** One random operation. Returns the inode of a file it created. */
  step(): Ino | undefined {
    const sec = ++this.#count;
    const parent = this.#anyDirectory();
    switch (this.#random(8)) {
      case 0: {
        const name = `d${sec}`;
        this.#directories.push({ ino: makeDirectory(this.#metadata, parent, name, sec), parent, name });
        return;
      }
      case 1:
        return this.#removeFile(sec);
      case 2:
        return this.#removeDirectory(sec);
      case 3:
        return this.#rename(parent, sec);
      case 4:
        return this.#setTimes(parent, sec);
      default: {
        const name = `f${sec}`;
        const ino = createFile(this.#metadata, parent, name, sec);
        this.#files.push({ parent, name, ino });
        return ino;
      }
    }
  }

  #removeFile(sec: number): undefined {
    const file = this.#files.splice(this.#random(this.#files.length + 1), 1)[0];
    if (file !== undefined) removeFile(this.#metadata, file.parent, file.name, { sec });
  }

  #removeDirectory(sec: number): undefined {
    const directory = this.#directories.find(({ ino }) => this.#metadata.isEmptyDirectory(ino));
    if (directory === undefined) return;
    this.#directories = this.#directories.filter((other) => other !== directory);
    const { ino, parent, name } = directory;
    this.#metadata.update((tx) => {
      tx.deleteDentry(parent, name as Name);
      tx.deleteInode(ino);
      tx.deleteDirectoryTimes(ino);
      tx.touch(parent, time(sec), -1);
      tx.dependsOn({ directories: [parent], removedDirectories: [ino] });
    });
  }

  #rename(to: Ino, sec: number): undefined {
    const index = this.#random(this.#files.length + 1);
    const file = this.#files[index];
    if (file === undefined) return;
    const name = `r${sec}`;
    this.#files[index] = { parent: to, name, ino: file.ino };
    this.#metadata.update((tx) => {
      tx.deleteDentry(file.parent, file.name as Name);
      tx.putDentry(to, name as Name, { ino: file.ino, type: 0o100000 });
      tx.touch(file.parent, time(sec), 0);
      if (to !== file.parent) tx.touch(to, time(sec), 0);
      tx.dependsOn({ directories: [file.parent, to], content: file.ino });
    });
  }

  #setTimes(directory: Ino, sec: number): undefined {
    this.#metadata.update((tx) => {
      const before = tx.directoryTimes(directory);
      const inode = tx.inode(directory);
      if (before === undefined || inode === undefined) throw new Error(`directory ${directory} is gone`);
      tx.putInode(directory, { ...inode, atime: time(sec) });
      tx.putDirectoryTimes(directory, { ...before, mtime: time(10 * sec), ctime: time(sec) });
      tx.dependsOn({ inodes: [directory] });
    });
  }

  #anyDirectory(): Ino {
    return this.#directories[this.#random(this.#directories.length + 1)]?.ino ?? ROOT_INO;
  }
}
