import { expect } from "vitest";
import type { HandleId, Ino } from "../../src/base/index.js";
import type { Attributes, RenameMode } from "../../src/fs/index.js";
import { FsFixture, kindOf, nameOf, O_RDWR, USER } from "../support/fs-fixture.js";
import type { SeededRandom } from "../support/random.js";
import { RepeatedAttributes } from "../support/repeated-attributes.js";
import { ModelError, type ModelNode, type Place, PosixModel } from "./posix-model.js";

const NAMES = ["a", "b", "c", "d", "e"];
const XATTRS = ["user.x", "user.y"];
const TYPE_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, fifo: 0o010000 };
const NODES_MAX = 40;

interface OpenFile {
  readonly handle: HandleId;
  readonly node: ModelNode;
}

/**
 * Does the same random things to the filesystem and to the model, and compares after each: errors, attributes, and that
 * times change exactly when the model says. What the engine would still repeat of earlier answers must be what is true now.
 */
export class FsAgainstModel {
  readonly #random: SeededRandom;
  readonly #fixture = new FsFixture();
  readonly #model: PosixModel;
  /** Nodes that exist or that something still holds; their inode numbers, and the lookups a kernel would count. */
  readonly #inos = new Map<ModelNode, Ino>();
  readonly #lookups = new Map<ModelNode, number>();
  readonly #open: OpenFile[] = [];
  #before = new Map<ModelNode, Attributes>();
  #repeated: RepeatedAttributes;
  /** How often an answer was there to be repeated: the comparison must not be of nothing. */
  #repetitions = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#repeated = new RepeatedAttributes(this.#fixture.fs);
    const { mode, uid, gid } = this.#fixture.attributes(1 as Ino);
    this.#model = new PosixModel({ mode: mode & 0o7777, uid, gid });
    this.#inos.set(this.#model.root, 1 as Ino);
    this.#remember();
  }

  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      this.#model.step += 1;
      await this.#step();
      this.#compareNodes();
    }
    this.#compareTree();
    this.#checkRecords();
    expect(this.#repetitions).toBeGreaterThan(steps);
  }

  /** Kills and starts the filesystem: what has a name is as it was, and nothing else is left. */
  async restart(): Promise<void> {
    await this.#fixture.restart();
    this.#repeated = new RepeatedAttributes(this.#fixture.fs);
    // Nothing happens in this step, so no time may change.
    this.#model.step += 1;
    this.#open.length = 0;
    this.#lookups.clear();
    const reachable = this.#model.reachable();
    for (const node of [...this.#inos.keys()]) if (!reachable.has(node)) this.#inos.delete(node);
    this.#compareNodes();
    this.#compareTree();
    this.#checkRecords();
    expect(this.#fixture.metadata.dirtyFiles()).toSatisfy((files: Iterable<readonly [Ino, unknown]>) =>
      [...files].every(([ino]) => this.#fixture.metadata.inode(ino) !== undefined),
    );
  }

  dispose(): Promise<void> {
    return this.#fixture.dispose();
  }

  async #step(): Promise<void> {
    const steps: (() => void | Promise<void>)[] = [
      () => this.#make(),
      () => this.#make(),
      () => this.#create(),
      () => this.#create(),
      () => this.#createTemporary(),
      () => this.#link(),
      () => this.#unlink(),
      () => this.#removeDirectory(),
      () => this.#rename(),
      () => this.#rename(),
      () => this.#change(),
      () => this.#truncate(),
      () => this.#xattr(),
      () => this.#openFile(),
      () => this.#write(),
      () => this.#write(),
      () => this.#release(),
      () => this.#forget(),
      () => this.#publish(),
    ];
    await this.#random.pick(steps)();
  }

  #make(): void {
    if (this.#inos.size > NODES_MAX) {
      this.#unlink();
      return;
    }
    const place = this.#place();
    const type = this.#random.pick(["file", "directory", "directory", "symlink", "fifo"] as const);
    const mode = this.#random.pick([0o644, 0o755, 0o2755]);
    const [parent, name] = [this.#ino(place.directory), nameOf(place.name)];
    const { fs } = this.#fixture;
    this.#both(
      () => this.#model.make(place, type, mode, type === "symlink" ? "target" : ""),
      (node) => {
        if (type === "directory") this.#know(node, fs.makeDirectory(USER, parent, name, mode).ino);
        else if (type === "symlink") this.#know(node, fs.makeSymlink(USER, parent, name, "target").ino);
        else this.#know(node, fs.makeNode(USER, parent, name, TYPE_BITS[type] | mode, 0).ino);
      },
    );
  }

  async #create(): Promise<void> {
    const place = this.#place();
    const expected = attempt(() => this.#model.make(place, "file", 0o640, ""));
    const created = this.#fixture.fs.create;
    const [parent, name] = [this.#ino(place.directory), nameOf(place.name)];
    if (expected instanceof ModelError) {
      expect(kindOf(() => created.call(this.#fixture.fs, USER, parent, name, 0o640, O_RDWR | 0o200))).toBe(
        expected.kind,
      );
      return;
    }
    if (this.#random.below(4) === 0) this.#fixture.cache.spares = 0;
    const { attributes, opened } = await created.call(this.#fixture.fs, USER, parent, name, 0o640, O_RDWR | 0o200);
    this.#fixture.cache.spares = Number.POSITIVE_INFINITY;
    this.#know(expected, attributes.ino);
    this.#open.push({ handle: opened.handle, node: expected });
  }

  async #createTemporary(): Promise<void> {
    const directory = this.#pickNode("directory");
    const node = attempt(() => this.#model.makeTemporary(directory, 0o600));
    if (node instanceof ModelError) return;
    const { attributes, opened } = await this.#fixture.fs.createTemporary(USER, this.#ino(directory), 0o600, O_RDWR);
    this.#know(node, attributes.ino);
    this.#open.push({ handle: opened.handle, node });
  }

  #link(): void {
    const node = this.#pickNode();
    const place = this.#place();
    // The kernel refuses these itself, before it looks at names.
    if (node.type === "directory" && node.names === 0) return;
    this.#both(
      () => this.#model.link(node, place),
      () => {
        this.#fixture.fs.link(USER, this.#ino(node), this.#ino(place.directory), nameOf(place.name));
        this.#countLookup(node);
      },
    );
  }

  #unlink(): void {
    const place = this.#place();
    this.#both(
      () => this.#model.unlink(place),
      () => this.#fixture.fs.unlink(USER, this.#ino(place.directory), nameOf(place.name)),
    );
  }

  #removeDirectory(): void {
    const place = this.#place();
    this.#both(
      () => this.#model.removeDirectory(place),
      () => this.#fixture.fs.removeDirectory(USER, this.#ino(place.directory), nameOf(place.name)),
    );
  }

  #rename(): void {
    const [from, to] = [this.#place(), this.#place()];
    const mode = this.#random.pick<RenameMode>(["replace", "replace", "no-replace", "exchange"]);
    const source = from.directory.entries.get(from.name);
    const target = to.directory.entries.get(to.name);
    // The kernel refuses loops.
    if (source !== undefined && this.#model.contains(source, to.directory)) return;
    if (mode === "exchange" && target !== undefined && this.#model.contains(target, from.directory)) return;
    this.#both(
      () => this.#model.rename(from, to, mode),
      () => {
        const [parent, newParent] = [this.#ino(from.directory), this.#ino(to.directory)];
        this.#fixture.fs.rename(USER, parent, nameOf(from.name), newParent, nameOf(to.name), mode);
      },
    );
  }

  async #change(): Promise<void> {
    const node = this.#pickNode();
    const [fs, ino] = [this.#fixture.fs, this.#ino(node)];
    const id = this.#random.below(5);
    switch (this.#random.below(3)) {
      case 0:
        this.#model.setMode(node, 0o600 + id);
        await fs.setAttributes(USER, ino, { mode: 0o600 + id });
        break;
      case 1:
        this.#model.setOwner(node, id, id + 1);
        await fs.setAttributes(USER, ino, { uid: id, gid: id + 1 });
        break;
      default: {
        const mtime = { sec: this.#random.below(1e10) - 1e9, nsec: this.#random.below(1e9) };
        this.#model.mark(node);
        expect((await fs.setAttributes(USER, ino, { mtime })).mtime).toEqual(mtime);
      }
    }
  }

  async #truncate(): Promise<void> {
    const node = this.#pickFile();
    if (node === undefined) return;
    const open = this.#open.find((file) => file.node === node);
    // An unlinked file can only be changed through a handle.
    if (node.names === 0 && open === undefined) return;
    const sizeBytes = this.#random.below(2000);
    this.#model.truncate(node, sizeBytes);
    const handle = open !== undefined && this.#random.below(2) === 0 ? { handle: open.handle } : {};
    await this.#fixture.fs.setAttributes(USER, this.#ino(node), { sizeBytes, ...handle });
  }

  #xattr(): void {
    const node = this.#pickNode();
    const [name, ino] = [this.#random.pick(XATTRS), this.#ino(node)];
    const value = String(this.#random.below(1000));
    if (this.#random.below(3) > 0) {
      this.#model.setXattr(node, name, value);
      this.#fixture.fs.setXattr(USER, ino, nameOf(name), Buffer.from(value), 0);
      return;
    }
    this.#both(
      () => this.#model.removeXattr(node, name),
      () => this.#fixture.fs.removeXattr(USER, ino, nameOf(name)),
    );
  }

  async #openFile(): Promise<void> {
    const node = this.#pickFile();
    if (node === undefined) return;
    if (node.names === 0 && !this.#open.some((file) => file.node === node)) return;
    const flags = this.#random.pick([0, O_RDWR, O_RDWR | 0o1000]);
    if (flags > O_RDWR) this.#model.truncate(node, 0);
    const { handle } = await this.#fixture.fs.open(this.#ino(node), flags);
    if (flags === 0) this.#fixture.fs.release(handle);
    else this.#open.push({ handle, node });
  }

  #write(): void {
    if (this.#open.length === 0) return;
    const { handle, node } = this.#random.pick(this.#open);
    const [text, position] = [String(this.#random.next()), this.#random.below(1000)];
    this.#model.write(node, text, position);
    const { ino } = this.#fixture.fs.contentOf(handle);
    this.#fixture.cache.opened(ino)!.file.writeSync(Buffer.from(text), position);
  }

  #release(): void {
    if (this.#open.length === 0) return;
    const [file] = this.#open.splice(this.#random.below(this.#open.length), 1);
    this.#fixture.fs.release(file!.handle);
    this.#dropIfGone(file!.node);
  }

  /** Memory pressure: the kernel forgets what nobody uses. */
  #forget(): void {
    const node = this.#pickNode();
    const lookups = this.#lookups.get(node) ?? 0;
    if (node === this.#model.root || lookups === 0) return;
    this.#lookups.delete(node);
    this.#fixture.fs.forget(this.#ino(node), lookups);
    this.#dropIfGone(node);
  }

  async #publish(): Promise<void> {
    const node = this.#pickFile();
    if (node === undefined) return;
    const ino = this.#ino(node);
    this.#fixture.cache.publish(ino);
    if (this.#random.below(2) === 0) await this.#fixture.cache.evict(ino);
  }

  /** The model first; what it refuses the filesystem must refuse with the same kind, and change nothing. */
  #both<T>(model: () => T, real: (value: T) => unknown): void {
    const value = attempt(model);
    if (value instanceof ModelError) expect(kindOf(() => real(undefined as T))).toBe(value.kind);
    else real(value);
  }

  #place(): Place {
    return { directory: this.#pickNode("directory"), name: this.#random.pick(NAMES) };
  }

  /** The root is always there, so only of directories and of all nodes is there always one. */
  #pickNode(type?: "directory"): ModelNode {
    return this.#random.pick([...this.#inos.keys()].filter((node) => type === undefined || node.type === type));
  }

  #pickFile(): ModelNode | undefined {
    const files = [...this.#inos.keys()].filter((node) => node.type === "file");
    return files.length === 0 ? undefined : this.#random.pick(files);
  }

  #ino(node: ModelNode): Ino {
    return this.#inos.get(node)!;
  }

  #know(node: ModelNode, ino: Ino): void {
    expect([...this.#inos.values()]).not.toContain(ino);
    this.#inos.set(node, ino);
    this.#countLookup(node);
  }

  #countLookup(node: ModelNode): void {
    this.#lookups.set(node, (this.#lookups.get(node) ?? 0) + 1);
  }

  #dropIfGone(node: ModelNode): void {
    if (node.names > 0 || this.#lookups.has(node) || this.#open.some((file) => file.node === node)) return;
    expect(kindOf(() => this.#fixture.attributes(this.#ino(node)))).toBe("stale");
    this.#inos.delete(node);
    this.#before.delete(node);
  }

  #compareNodes(): void {
    for (const node of [...this.#inos.keys()]) this.#dropUnknown(node);
    for (const [node, ino] of this.#inos) {
      const real = this.#fixture.attributes(ino);
      const repeated = this.#repeated.repeated(ino);
      if (repeated !== undefined) {
        this.#repetitions++;
        expect(repeated).toEqual(this.#repeated.answerOf(real));
      }
      this.#repeated.learn(real);
      const { uid, gid } = node;
      const mode = TYPE_BITS[node.type] | node.mode;
      expect(real).toMatchObject({ mode, uid, gid, nlink: this.#model.links(node) });
      if (node.type === "file") expect(real.sizeBytes).toBe(node.bytes.length);
      const before = this.#before.get(node);
      if (before !== undefined) {
        const marked = { mtime: node.mtime === this.#model.step, ctime: node.ctime === this.#model.step };
        const changed = { mtime: !same(before.mtime, real.mtime), ctime: !same(before.ctime, real.ctime) };
        expect(changed).toEqual(marked);
      }
    }
    this.#remember();
  }

  /** Removed, and nobody had looked it up or opened it. */
  #dropUnknown(node: ModelNode): void {
    if (node.names === 0 && !this.#lookups.has(node) && !this.#open.some((file) => file.node === node)) {
      this.#inos.delete(node);
    }
  }

  #remember(): void {
    this.#before = new Map([...this.#inos].map(([node, ino]) => [node, this.#fixture.attributes(ino)]));
  }

  #compareTree(): void {
    const { fs, cache } = this.#fixture;
    for (const node of this.#model.reachable()) {
      const ino = this.#ino(node);
      const xattrs = fs.listXattrs(ino).map((name) => [name, Buffer.from(fs.getXattr(ino, name)).toString()]);
      expect(xattrs).toEqual([...node.xattrs].sort());
      if (node.type === "symlink") expect(fs.readLink(ino)).toBe(node.target);
      if (node.type === "file") expect(cache.bytesOf(ino).equals(node.bytes)).toBe(true);
      if (node.type !== "directory") continue;
      expect(this.#fixture.names(ino, 1 + this.#random.below(5))).toEqual([...node.entries.keys()].sort());
      for (const [name, entry] of node.entries) expect(this.#fixture.lookup(name, ino).ino).toBe(this.#ino(entry));
    }
  }

  /** Nothing is in the store that has no name, and counts agree with what is there. */
  #checkRecords(): void {
    const { metadata } = this.#fixture;
    const reachable = this.#model.reachable();
    expect(metadata.totals().inodes).toBe(reachable.size);
    let contentBytes = 0;
    for (const node of reachable) {
      const ino = this.#ino(node);
      contentBytes += metadata.content(ino)?.sizeBytes ?? 0;
      if (node.type === "directory") expect(metadata.directoryTimes(ino)?.nlink).toBe(this.#model.links(node));
      else expect(metadata.inode(ino)?.nlink).toBe(node.names);
      expect(metadata.content(ino) !== undefined).toBe(node.type === "file");
    }
    expect(metadata.totals().contentBytes).toBe(contentBytes);
    const held = new Set(this.#inos.values());
    for (const [ino] of metadata.localFiles(undefined, 10_000)) expect(held).toContain(ino);
  }
}

function attempt<T>(run: () => T): T | ModelError {
  try {
    return run();
  } catch (error) {
    if (error instanceof ModelError) return error;
    throw error;
  }
}

function same(a: { readonly sec: number; readonly nsec: number }, b: typeof a): boolean {
  return a.sec === b.sec && a.nsec === b.nsec;
}
