import type { HandleId, Ino, Name } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import type { AttributeListener } from "../meta/index.js";
import type { FsContext } from "./context.js";
import * as data from "./data.js";
import * as directories from "./directories.js";
import type {
  AttributeChanges,
  Attributes,
  Caller,
  DirectoryEntry,
  FallocateMode,
  FileSystem,
  FileSystemTotals,
  LinkMode,
  MaybePromise,
  OpenedFile,
  RenameMode,
} from "./file-system.js";
import * as files from "./files.js";
import { HandleTable } from "./handles.js";
import { InodeTable } from "./inodes.js";
import { DEFAULT_LIMITS, type FileSystemLimits } from "./limits.js";
import { link, unlink } from "./links.js";
import * as lookups from "./lookup.js";
import * as nodes from "./nodes.js";
import { dropLeftTemporaries } from "./removal.js";
import { rename } from "./rename.js";
import { setAttributes } from "./set-attributes.js";
import { totals } from "./totals.js";
import * as xattrs from "./xattrs.js";

export interface FileSystemOptions
  extends Pick<FsContext, "metadata" | "cache" | "publisher" | "clock" | "durability" | "isReadOnly"> {
  /** Those given; the others are {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<FileSystemLimits>;
  /** By name, below "user.podfs."; may change while the mount runs. */
  readonly mountXattrs?: ReadonlyMap<Name, Uint8Array>;
}

/** The filesystem of one mounted volume, whose cache has recovered what was dirty. It owns nothing that must be closed. */
export function createFileSystem(options: FileSystemOptions): FileSystem {
  const context: FsContext = {
    ...options,
    mountXattrs: options.mountXattrs ?? new Map(),
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    inodes: new InodeTable(),
    handles: new HandleTable(),
  };
  dropLeftTemporaries(context);
  return new ComposedFileSystem(context);
}

/** Hands each operation to the file that implements it. */
class ComposedFileSystem implements FileSystem {
  readonly #context: FsContext;

  constructor(context: FsContext) {
    this.#context = context;
  }

  lookup(parent: Ino, name: Name): Attributes {
    return lookups.lookup(this.#context, parent, name);
  }

  forget(ino: Ino, count: number): void {
    lookups.forget(this.#context, ino, count);
  }

  remember(ino: Ino): void {
    this.#context.inodes.countLookup(ino);
  }

  getAttributes(ino: Ino): Attributes {
    return lookups.getAttributes(this.#context, ino);
  }

  watchAttributes(listener: AttributeListener): void {
    this.#context.metadata.onAttributes(listener);
  }

  setAttributes(_caller: Caller, ino: Ino, changes: AttributeChanges): MaybePromise<Attributes> {
    return setAttributes(this.#context, ino, changes);
  }

  readLink(ino: Ino): Name {
    return lookups.readLink(this.#context, ino);
  }

  makeNode(caller: Caller, parent: Ino, name: Name, mode: number, rdev: number): Attributes {
    return nodes.makeNode(this.#context, caller, parent, name, mode, rdev);
  }

  makeDirectory(caller: Caller, parent: Ino, name: Name, mode: number): Attributes {
    return nodes.makeDirectory(this.#context, caller, parent, name, mode);
  }

  makeSymlink(caller: Caller, parent: Ino, name: Name, target: string): Attributes {
    return nodes.makeSymlink(this.#context, caller, parent, name, target);
  }

  link(_caller: Caller, ino: Ino, parent: Ino, name: Name, mode: LinkMode = "no-replace"): Attributes {
    return link(this.#context, ino, { parent, name }, mode);
  }

  unlink(_caller: Caller, parent: Ino, name: Name): void {
    unlink(this.#context, parent, name);
  }

  removeDirectory(_caller: Caller, parent: Ino, name: Name): void {
    directories.removeDirectory(this.#context, parent, name);
  }

  rename(_caller: Caller, parent: Ino, name: Name, newParent: Ino, newName: Name, mode: RenameMode): void {
    rename(this.#context, { parent, name }, { parent: newParent, name: newName }, mode);
  }

  create(caller: Caller, parent: Ino, name: Name, mode: number, flags: number): MaybePromise<files.CreatedFile> {
    return files.create(this.#context, caller, parent, name, mode, flags);
  }

  createTemporary(caller: Caller, parent: Ino, mode: number, _flags: number): MaybePromise<files.CreatedFile> {
    return files.createTemporary(this.#context, caller, parent, mode);
  }

  open(ino: Ino, flags: number): MaybePromise<OpenedFile> {
    return files.open(this.#context, ino, flags);
  }

  flush(handle: HandleId): MaybePromise<void> {
    return files.flush(this.#context, handle);
  }

  release(handle: HandleId): void {
    files.release(this.#context, handle);
  }

  sync(handle: HandleId, _dataOnly: boolean): Promise<void> {
    return files.sync(this.#context, handle);
  }

  fallocate(handle: HandleId, mode: FallocateMode, offset: number, length: number): Promise<void> {
    return data.fallocate(this.#context, handle, mode, offset, length);
  }

  seek(handle: HandleId, offset: number, whence: number): Promise<number> {
    return data.seek(this.#context, handle, offset, whence);
  }

  copyRange(from: HandleId, fromOffset: number, to: HandleId, toOffset: number, length: number): Promise<number> {
    const source = { handle: from, offset: fromOffset };
    return data.copyRange(this.#context, source, { handle: to, offset: toOffset }, length);
  }

  contentOf(handle: HandleId): OpenContent {
    return this.#context.handles.file(handle).content;
  }

  openDirectory(ino: Ino): HandleId {
    return directories.openDirectory(this.#context, ino);
  }

  readDirectory(handle: HandleId, cookie: number, limit: number): readonly DirectoryEntry[] {
    return directories.readDirectory(this.#context, handle, cookie, limit);
  }

  releaseDirectory(handle: HandleId): void {
    directories.releaseDirectory(this.#context, handle);
  }

  syncDirectory(handle: HandleId): Promise<void> {
    return directories.syncDirectory(this.#context, handle);
  }

  getXattr(ino: Ino, name: Name): Uint8Array {
    return xattrs.getXattr(this.#context, ino, name);
  }

  listXattrs(ino: Ino): readonly Name[] {
    return xattrs.listXattrs(this.#context, ino);
  }

  setXattr(_caller: Caller, ino: Ino, name: Name, value: Uint8Array, flags: number): void {
    xattrs.setXattr(this.#context, ino, name, value, flags);
  }

  removeXattr(_caller: Caller, ino: Ino, name: Name): void {
    xattrs.removeXattr(this.#context, ino, name);
  }

  totals(): FileSystemTotals {
    return totals(this.#context);
  }
}
