import { constants } from "node:fs";
import type { Ino } from "../../base/index.js";
import type { AttributeChanges, Attributes, Caller, FileSystem, MaybePromise, OpenedFile } from "../../fs/index.js";
import type { HandleNumbers } from "./handle-numbers.js";
import type { Done, PackageOperations, PackageStat } from "./package.js";
import { nameOfText, type Paths, textOfName } from "./paths.js";
import { inoOf, statfsOf, statOf, timeOfMs } from "./values.js";

/** chown(2)'s "leave alone", as an unsigned number. */
const UNCHANGED = 0xffff_ffff;
const LIST_AT_ONCE = 1000;

export interface OperationsContext {
  readonly fileSystem: FileSystem;
  readonly paths: Paths;
  readonly handles: HandleNumbers;
  /** The package does not tell who asks: what is made belongs to who mounted. */
  readonly caller: Caller;
  /** Resolves when writes may go on. */
  writeAllowed(): MaybePromise<void>;
  /** Counts the operation, runs it, and answers: the one place where replies are made, see `fuse-native-transport.ts`. */
  answer<T, Result extends readonly unknown[]>(
    operation: string,
    done: Done<Result>,
    run: () => MaybePromise<T>,
    reply?: (value: T) => void,
  ): void;
}

/** The filesystem as the package wants to call it. Paths become inode numbers, descriptors handles, errors errnos. */
export function operationsOf(context: OperationsContext): PackageOperations {
  return {
    ...attributeOperations(context),
    ...nameOperations(context),
    ...fileOperations(context),
    ...xattrOperations(context),
  };
}

type Operations<Names extends keyof PackageOperations> = Pick<PackageOperations, Names>;

function attributeOperations({
  fileSystem,
  paths,
  handles,
  caller,
  answer,
}: OperationsContext): Operations<"getattr" | "statfs" | "truncate" | "ftruncate" | "utimens" | "chown" | "chmod"> {
  const change = (path: string, changes: AttributeChanges) =>
    paths.use(path, ({ ino }) => fileSystem.setAttributes(caller, ino, changes));
  return {
    getattr: (path, done) =>
      answer(
        "getattr",
        done,
        () => paths.use(path, statOf),
        (stat) => done(0, stat),
      ),
    statfs: (_path, done) =>
      answer(
        "statfs",
        done,
        () => statfsOf(fileSystem.totals()),
        (totals) => done(0, totals),
      ),
    truncate: (path, size, done) => answer("truncate", done, () => change(path, { sizeBytes: size })),
    ftruncate: (path, fd, size, done) =>
      answer("ftruncate", done, () => change(path, { sizeBytes: size, handle: handles.get(fd) })),
    utimens: (path, atimeMs, mtimeMs, done) =>
      answer("utimens", done, () => change(path, { atime: timeOfMs(atimeMs), mtime: timeOfMs(mtimeMs) })),
    chown: (path, uid, gid, done) =>
      answer("chown", done, () =>
        change(path, { ...(uid !== UNCHANGED && { uid }), ...(gid !== UNCHANGED && { gid }) }),
      ),
    chmod: (path, mode, done) => answer("chmod", done, () => change(path, { mode })),
  };
}

function nameOperations({
  fileSystem,
  paths,
  caller,
  answer,
}: OperationsContext): Operations<
  "readdir" | "readlink" | "mknod" | "mkdir" | "unlink" | "rmdir" | "rename" | "link" | "symlink"
> {
  const drop = (made: Attributes) => paths.once(made, () => undefined);
  return {
    readdir: (path, done) =>
      answer(
        "readdir",
        done,
        () => paths.use(path, ({ ino }) => list(fileSystem, ino)),
        ({ names, stats }) => done(0, names, stats),
      ),
    readlink: (path, done) =>
      answer(
        "readlink",
        done,
        () => paths.use(path, ({ ino }) => textOfName(fileSystem.readLink(ino))),
        (target) => done(0, target),
      ),
    mknod: (path, mode, rdev, done) =>
      answer("mknod", done, () => {
        const { parent, name } = paths.place(path);
        drop(fileSystem.makeNode(caller, parent, name, mode, rdev));
      }),
    mkdir: (path, mode, done) =>
      answer("mkdir", done, () => {
        const { parent, name } = paths.place(path);
        drop(fileSystem.makeDirectory(caller, parent, name, mode));
      }),
    unlink: (path, done) =>
      answer("unlink", done, () => {
        const { parent, name } = paths.place(path);
        fileSystem.unlink(caller, parent, name);
      }),
    rmdir: (path, done) =>
      answer("rmdir", done, () => {
        const { parent, name } = paths.place(path);
        fileSystem.removeDirectory(caller, parent, name);
        paths.forgetBelow(path);
      }),
    rename: (from, to, done) =>
      answer("rename", done, () => {
        const [old, target] = [paths.place(from), paths.place(to)];
        fileSystem.rename(caller, old.parent, old.name, target.parent, target.name, "replace");
        paths.forgetBelow(from);
        paths.forgetBelow(to);
      }),
    link: (existing, path, done) =>
      answer("link", done, () => {
        const { parent, name } = paths.place(path);
        paths.use(existing, ({ ino }) => drop(fileSystem.link(caller, ino, parent, name)));
      }),
    symlink: (target, path, done) =>
      answer("symlink", done, () => {
        const { parent, name } = paths.place(path);
        drop(fileSystem.makeSymlink(caller, parent, name, nameOfText(target)));
      }),
  };
}

/** All names of a directory at once: the package has no other way. */
function list(fileSystem: FileSystem, ino: Ino) {
  const names: string[] = [];
  const stats: Partial<PackageStat>[] = [];
  const handle = fileSystem.openDirectory(ino);
  try {
    for (let cookie = 0, complete = false; !complete; ) {
      const entries = fileSystem.readDirectory(handle, cookie, LIST_AT_ONCE);
      for (const entry of entries) {
        names.push(textOfName(entry.name));
        stats.push({ ino: inoOf(entry.ino), mode: entry.type });
        cookie = entry.cookie;
      }
      complete = entries.length < LIST_AT_ONCE;
    }
  } finally {
    fileSystem.releaseDirectory(handle);
  }
  return { names, stats };
}

function fileOperations(
  context: OperationsContext,
): Operations<"open" | "create" | "read" | "write" | "flush" | "release" | "fsync" | "fsyncdir"> {
  const { fileSystem, paths, handles, caller, answer } = context;
  const opened = (done: Done<[number]>) => (file: OpenedFile) => done(0, handles.add(file.handle));
  return {
    open: (path, flags, done) =>
      answer("open", done, () => paths.use(path, ({ ino }) => fileSystem.open(ino, flags)), opened(done)),
    create: (path, mode, done) =>
      answer(
        "create",
        done,
        async () => {
          const { parent, name } = paths.place(path);
          const flags = constants.O_CREAT | constants.O_RDWR;
          const created = await fileSystem.create(caller, parent, name, mode, flags);
          // The handle keeps the inode.
          return paths.once(created.attributes, () => created.opened);
        },
        opened(done),
      ),
    read: (_path, fd, into, length, position, done) =>
      answer(
        "read",
        done,
        () => fileSystem.contentOf(handles.get(fd)).file.read(into.subarray(0, length), position),
        (count) => done(count),
      ),
    write: (_path, fd, from, length, position, done) =>
      answer(
        "write",
        done,
        async () => {
          await context.writeAllowed();
          return fileSystem.contentOf(handles.get(fd)).file.write(from.subarray(0, length), position);
        },
        (count) => done(count),
      ),
    flush: (_path, fd, done) => answer("flush", done, () => fileSystem.flush(handles.get(fd))),
    release: (_path, fd, done) => answer("release", done, () => fileSystem.release(handles.take(fd))),
    fsync: (_path, dataOnly, fd, done) =>
      answer("fsync", done, () => fileSystem.sync(handles.get(fd), Boolean(dataOnly))),
    fsyncdir: (path, _dataOnly, _fd, done) =>
      answer("fsyncdir", done, () => paths.use(path, ({ ino }) => syncDirectory(fileSystem, ino))),
  };
}

/** libfuse opens directories by itself, so there is no handle of ours yet. */
async function syncDirectory(fileSystem: FileSystem, ino: Ino): Promise<void> {
  const handle = fileSystem.openDirectory(ino);
  try {
    await fileSystem.syncDirectory(handle);
  } finally {
    fileSystem.releaseDirectory(handle);
  }
}

function xattrOperations({
  fileSystem,
  paths,
  caller,
  answer,
}: OperationsContext): Operations<"setxattr" | "getxattr" | "listxattr" | "removexattr"> {
  return {
    setxattr: (path, name, value, _position, flags, done) =>
      answer("setxattr", done, () =>
        // The bytes are libfuse's, and gone when this is answered.
        paths.use(path, ({ ino }) => fileSystem.setXattr(caller, ino, nameOfText(name), Uint8Array.from(value), flags)),
      ),
    getxattr: (path, name, _position, done) =>
      answer(
        "getxattr",
        done,
        () => paths.use(path, ({ ino }) => Buffer.from(fileSystem.getXattr(ino, nameOfText(name)))),
        (value) => done(0, value),
      ),
    listxattr: (path, done) =>
      answer(
        "listxattr",
        done,
        () => paths.use(path, ({ ino }) => fileSystem.listXattrs(ino).map(textOfName)),
        (names) => done(0, names),
      ),
    removexattr: (path, name, done) =>
      answer("removexattr", done, () =>
        paths.use(path, ({ ino }) => fileSystem.removeXattr(caller, ino, nameOfText(name))),
      ),
  };
}
