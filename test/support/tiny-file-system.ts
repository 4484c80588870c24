import { closeSync, constants, ftruncateSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { ContentId, Deferred, HandleId, Ino, Name } from "../../src/base/index.js";
import { ROOT_INO } from "../../src/base/index.js";
import {
  type AttributeChanges,
  type Attributes,
  type Caller,
  type DirectoryEntry,
  type FileSystem,
  type FileSystemTotals,
  FsError,
  type FsErrorKind,
  type MaybePromise,
  type OpenedFile,
  type RenameMode,
} from "../../src/fs/index.js";
import type { Addon } from "../../src/native/index.js";

type OpenContent = OpenedFile["content"];
type Time = Attributes["mtime"];

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const BLOCK_SIZE = 1 << 20;

interface Node {
  readonly ino: Ino;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  readonly rdev: number;
  atime: Time;
  mtime: Time;
  ctime: Time;
  readonly btime: Time;
  readonly target: Name;
  readonly entries: Map<Name, Ino>;
  readonly xattrs: Map<Name, Uint8Array>;
  content: OpenContent | undefined;
  lookups: number;
}

interface OpenFile {
  readonly node: Node;
  readonly content: OpenContent;
}

export interface TinyFileSystemOptions {
  readonly addon: Pick<Addon, "createContentFile">;
  /** Empty directory that holds the bytes of the files, each named by its inode number. */
  readonly directory: string;
  readonly mode: OpenContent["mode"];
}

/**
 * A filesystem that keeps everything but file bytes in memory: enough of POSIX to try a transport on its own. It checks
 * what transports owe it: handles released once, no more lookups forgotten than counted.
 */
export class TinyFileSystem implements FileSystem {
  readonly #options: TinyFileSystemOptions;
  readonly #nodes = new Map<Ino, Node>();
  readonly #files = new Map<HandleId, OpenFile>();
  readonly #directories = new Map<HandleId, readonly DirectoryEntry[]>();
  #lastIno = 1;
  #lastHandle = 0;
  /** While set, open and sync wait for it. */
  hold: Deferred | undefined;
  flushes = 0;
  syncs = 0;

  constructor(options: TinyFileSystemOptions) {
    this.#options = options;
    mkdirSync(options.directory, { recursive: true });
    this.#make(ROOT_INO, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, S_IFDIR | 0o755).nlink = 2;
  }

  get openHandles(): number {
    return this.#files.size + this.#directories.size;
  }

  /** Lookups the kernel has not forgotten, without the root's. */
  get lookups(): number {
    return [...this.#nodes.values()].reduce((sum, node) => sum + node.lookups, 0);
  }

  lookup(parent: Ino, name: Name): Attributes {
    if (name.length > 255) throw fail("name-too-long");
    return this.#counted(this.#named(parent, name));
  }

  forget(ino: Ino, lookups: number): void {
    const node = this.#node(ino);
    node.lookups -= lookups;
    if (node.lookups < 0) throw new Error(`inode ${ino} is forgotten more often than it was looked up`);
  }

  remember(ino: Ino): void {
    this.#node(ino).lookups += 1;
  }

  getAttributes(ino: Ino): Attributes {
    return this.#attributes(this.#node(ino));
  }

  setAttributes(_caller: Caller, ino: Ino, changes: AttributeChanges): MaybePromise<Attributes> {
    const node = this.#node(ino);
    node.ctime = now();
    if (changes.mode !== undefined) node.mode = (node.mode & S_IFMT) | (changes.mode & 0o7777);
    if (changes.uid !== undefined) node.uid = changes.uid;
    if (changes.gid !== undefined) node.gid = changes.gid;
    if (changes.killPrivileges) node.mode &= ~0o6000;
    if (changes.atime !== undefined) node.atime = timeOf(changes.atime);
    if (changes.mtime !== undefined) {
      node.mtime = timeOf(changes.mtime);
      node.content?.file.setMtime(node.mtime.sec, node.mtime.nsec);
    }
    if (changes.sizeBytes === undefined) return this.#attributes(node);
    const resized = this.#contentOf(node).file.truncate(changes.sizeBytes);
    return resized.then(() => this.#attributes(node));
  }

  readLink(ino: Ino): Name {
    return this.#node(ino).target;
  }

  makeNode(caller: Caller, parent: Ino, name: Name, mode: number, rdev: number): Attributes {
    return this.#counted(this.#add(caller, parent, name, mode, rdev));
  }

  makeDirectory(caller: Caller, parent: Ino, name: Name, mode: number): Attributes {
    const node = this.#add(caller, parent, name, S_IFDIR | mode);
    node.nlink = 2;
    this.#node(parent).nlink += 1;
    return this.#counted(node);
  }

  makeSymlink(caller: Caller, parent: Ino, name: Name, target: string): Attributes {
    return this.#counted(this.#add(caller, parent, name, S_IFLNK | 0o777, 0, target as Name));
  }

  link(_caller: Caller, ino: Ino, parent: Ino, name: Name): Attributes {
    const node = this.#node(ino);
    if (this.#directory(parent).entries.has(name)) throw fail("exists");
    this.#directory(parent).entries.set(name, ino);
    node.nlink += 1;
    node.ctime = now();
    return this.#counted(node);
  }

  unlink(_caller: Caller, parent: Ino, name: Name): void {
    const node = this.#named(parent, name);
    this.#directory(parent).entries.delete(name);
    node.nlink -= 1;
  }

  removeDirectory(_caller: Caller, parent: Ino, name: Name): void {
    const node = this.#named(parent, name);
    if ((node.mode & S_IFMT) !== S_IFDIR) throw fail("not-directory");
    if (node.entries.size > 0) throw fail("not-empty");
    this.#directory(parent).entries.delete(name);
    this.#node(parent).nlink -= 1;
    node.nlink = 0;
  }

  rename(caller: Caller, parent: Ino, name: Name, newParent: Ino, newName: Name, mode: RenameMode): void {
    const from = this.#directory(parent).entries;
    const to = this.#directory(newParent).entries;
    const moved = this.#named(parent, name).ino;
    const replaced = to.get(newName);
    if (mode === "exchange") {
      if (replaced === undefined) throw fail("not-found");
      from.set(name, replaced);
      to.set(newName, moved);
      return;
    }
    if (replaced === moved) return;
    if (replaced !== undefined) {
      if (mode === "no-replace") throw fail("exists");
      const isDirectory = (this.#node(replaced).mode & S_IFMT) === S_IFDIR;
      if (isDirectory) this.removeDirectory(caller, newParent, newName);
      else this.unlink(caller, newParent, newName);
    }
    from.delete(name);
    to.set(newName, moved);
  }

  create(caller: Caller, parent: Ino, name: Name, mode: number, flags: number) {
    const existing = this.#directory(parent).entries.get(name);
    if (existing !== undefined && (flags & constants.O_EXCL) !== 0) throw fail("exists");
    const node = existing === undefined ? this.#add(caller, parent, name, S_IFREG | mode) : this.#node(existing);
    return { opened: this.#opened(node, flags), attributes: this.#counted(node) };
  }

  createTemporary(caller: Caller, _parent: Ino, mode: number, flags: number) {
    const node = this.#make(this.#nextIno(), caller, S_IFREG | mode);
    node.nlink = 0;
    return { opened: this.#opened(node, flags), attributes: this.#counted(node) };
  }

  open(ino: Ino, flags: number): MaybePromise<OpenedFile> {
    const node = this.#node(ino);
    return this.hold === undefined
      ? this.#opened(node, flags)
      : this.hold.promise.then(() => this.#opened(node, flags));
  }

  flush(handle: HandleId): void {
    this.#file(handle);
    this.flushes += 1;
  }

  release(handle: HandleId): void {
    this.#file(handle);
    this.#files.delete(handle);
  }

  async sync(handle: HandleId, dataOnly: boolean): Promise<void> {
    const { content } = this.#file(handle);
    this.syncs += 1;
    await this.hold?.promise;
    await content.file.sync(dataOnly);
  }

  fallocate(handle: HandleId, mode: number, offset: number, length: number): Promise<void> {
    return this.#file(handle).content.file.fallocate(mode, offset, length);
  }

  seek(handle: HandleId, offset: number, whence: number): Promise<number> {
    return this.#file(handle).content.file.seek(offset, whence);
  }

  copyRange(from: HandleId, fromOffset: number, to: HandleId, toOffset: number, length: number): Promise<number> {
    return this.contentOf(to).file.copyRange(this.contentOf(from).file, fromOffset, toOffset, length);
  }

  contentOf(handle: HandleId): OpenContent {
    return this.#file(handle).content;
  }

  openDirectory(ino: Ino): HandleId {
    const { entries } = this.#directory(ino);
    const named: readonly (readonly [Name, Ino])[] = [["." as Name, ino], [".." as Name, ino], ...entries];
    const listing = named.map(([name, of], index) => {
      return { name, ino: of, type: this.#node(of).mode & S_IFMT, cookie: index + 1 };
    });
    const handle = this.#nextHandle();
    this.#directories.set(handle, listing);
    return handle;
  }

  readDirectory(handle: HandleId, cookie: number, limit: number): readonly DirectoryEntry[] {
    const listing = this.#directories.get(handle);
    if (listing === undefined) throw fail("bad-handle");
    return listing.slice(cookie, cookie + limit);
  }

  releaseDirectory(handle: HandleId): void {
    if (!this.#directories.delete(handle)) throw fail("bad-handle");
  }

  async syncDirectory(): Promise<void> {
    this.syncs += 1;
    await this.hold?.promise;
  }

  getXattr(ino: Ino, name: Name): Uint8Array {
    const value = this.#node(ino).xattrs.get(name);
    if (value === undefined) throw fail("no-attribute");
    return value;
  }

  listXattrs(ino: Ino): readonly Name[] {
    return [...this.#node(ino).xattrs.keys()];
  }

  setXattr(_caller: Caller, ino: Ino, name: Name, value: Uint8Array, flags: number): void {
    const { xattrs } = this.#node(ino);
    if ((flags & XATTR_CREATE) !== 0 && xattrs.has(name)) throw fail("exists");
    if ((flags & XATTR_REPLACE) !== 0 && !xattrs.has(name)) throw fail("no-attribute");
    xattrs.set(name, value);
  }

  removeXattr(_caller: Caller, ino: Ino, name: Name): void {
    if (!this.#node(ino).xattrs.delete(name)) throw fail("no-attribute");
  }

  totals(): FileSystemTotals {
    const files = this.#nodes.size;
    return { totalBytes: 2 ** 40, freeBytes: 2 ** 39, files, freeFiles: 2 ** 30, nameBytesMax: 255 };
  }

  /** Closes all content files. */
  close(): void {
    for (const { content } of this.#nodes.values()) content?.file.close();
  }

  #add(
    caller: Pick<Caller, "uid" | "gid">,
    parent: Ino,
    name: Name,
    mode: number,
    rdev = 0,
    target = "" as Name,
  ): Node {
    const directory = this.#directory(parent);
    if (directory.entries.has(name)) throw fail("exists");
    const node = this.#make(this.#nextIno(), caller, mode, rdev, target);
    directory.entries.set(name, node.ino);
    directory.mtime = directory.ctime = node.mtime;
    return node;
  }

  #make(ino: Ino, { uid, gid }: Pick<Caller, "uid" | "gid">, mode: number, rdev = 0, target = "" as Name): Node {
    const time = now();
    const times = { atime: time, mtime: time, ctime: time, btime: time };
    const empty = { entries: new Map(), xattrs: new Map(), content: undefined, lookups: 0 };
    const node: Node = { ino, mode, uid, gid, nlink: 1, rdev, ...times, target, ...empty };
    this.#nodes.set(ino, node);
    return node;
  }

  #opened(node: Node, flags: number): OpenedFile {
    const content = this.#contentOf(node);
    if ((flags & constants.O_TRUNC) !== 0) ftruncateSync(content.file.fd, 0);
    const handle = this.#nextHandle();
    this.#files.set(handle, { node, content });
    return { handle, content, keepCache: content.mode === "served" };
  }

  #contentOf(node: Node): OpenContent {
    node.content ??= this.#openContent(node.ino);
    return node.content;
  }

  #openContent(ino: Ino): OpenContent {
    const fd = openSync(join(this.#options.directory, String(ino)), constants.O_RDWR | constants.O_CREAT, 0o600);
    const events = { onMiss: () => closeSync(-1), onTrigger: () => undefined };
    const file = this.#options.addon.createContentFile({ fd, blockSize: BLOCK_SIZE }, events);
    const numbers = new Float64Array(6);
    const stat = () => {
      file.stat(numbers);
      const [size = 0, blocks = 0, sec = 0, nsec = 0] = numbers;
      return { sizeBytes: size, diskBytes: blocks * 512, mtime: { sec, nsec } };
    };
    return { ino, contentId: ino as number as ContentId, file, mode: this.#options.mode, readers: 1, writers: 1, stat };
  }

  #counted(node: Node): Attributes {
    node.lookups += 1;
    return this.#attributes(node);
  }

  #attributes(node: Node): Attributes {
    const { ino, mode, nlink, uid, gid, rdev, atime, ctime, btime, target } = node;
    const content = node.content?.stat();
    const { sizeBytes, diskBytes, mtime } = content ?? { sizeBytes: target.length, diskBytes: 0, mtime: node.mtime };
    const times = { atime, mtime, ctime, btime };
    return { ino, mode, nlink, uid, gid, rdev, sizeBytes, diskBytes, ...times, cacheable: content === undefined };
  }

  #named(parent: Ino, name: Name): Node {
    const ino = this.#directory(parent).entries.get(name);
    if (ino === undefined) throw fail("not-found");
    return this.#node(ino);
  }

  #directory(ino: Ino): Node {
    const node = this.#node(ino);
    if ((node.mode & S_IFMT) !== S_IFDIR) throw fail("not-directory");
    return node;
  }

  #node(ino: Ino): Node {
    const node = this.#nodes.get(ino);
    if (node === undefined) throw fail("stale");
    return node;
  }

  #file(handle: HandleId): OpenFile {
    const file = this.#files.get(handle);
    if (file === undefined) throw fail("bad-handle");
    return file;
  }

  #nextIno(): Ino {
    this.#lastIno += 1;
    return this.#lastIno as Ino;
  }

  #nextHandle(): HandleId {
    this.#lastHandle += 1;
    return this.#lastHandle as HandleId;
  }
}

function fail(kind: FsErrorKind): FsError {
  return new FsError(kind, kind);
}

function now(): Time {
  const ms = Date.now();
  return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 };
}

function timeOf(time: Time | "now"): Time {
  return time === "now" ? now() : time;
}
