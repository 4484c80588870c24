import type { HandleId, Ino, Name } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import { type InodeRecord, nowOf, type Time } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { fileAttributes } from "./attributes.js";
import { type FsContext, requireParent, requireWritable } from "./context.js";
import { FsError } from "./errors.js";
import type { Attributes, Caller, MaybePromise, OpenedFile } from "./file-system.js";
import { forget, lookup } from "./lookup.js";
import { hasPrivileges, O_ACCMODE, O_EXCL, O_RDONLY, O_TRUNC, PERMISSION_BITS, S_IFREG } from "./modes.js";
import { inoOf, newInode, putNew, requirePlace } from "./nodes.js";
import { dropUnusedOrphan } from "./removal.js";
import { applyChanges, openContent } from "./set-attributes.js";

export interface CreatedFile {
  readonly attributes: Attributes;
  readonly opened: OpenedFile;
}

/** A new file inside the transaction that makes it. */
interface NewFile {
  readonly ino: Ino;
  readonly inode: InodeRecord;
}

/**
 * open(2) with O_CREAT, for a name the kernel believes to be free.
 * @throws FsError exists (only with O_EXCL), name-too-long, not-found, not-directory, read-only; CacheError
 */
export function create(
  context: FsContext,
  caller: Caller,
  parent: Ino,
  name: Name,
  mode: number,
  flags: number,
): MaybePromise<CreatedFile> {
  const kind = { mode: S_IFREG | (mode & PERMISSION_BITS) };
  try {
    return makeOpen(context, mode, (tx, time, takeContent) => {
      const directory = requirePlace(context, tx, parent, name);
      if (!takeContent()) return undefined;
      const inode = newInode(caller, directory, kind, 1, time);
      return { ino: putNew(tx, parent, name, inode), inode };
    });
  } catch (error) {
    if ((flags & O_EXCL) !== 0 || !(error instanceof FsError) || error.kind !== "exists") throw error;
    return openExisting(context, parent, name, flags);
  }
}

/**
 * open(2) with O_TMPFILE. No record of it is kept but the local image, which counts as garbage after a crash because no
 * inode refers to it.
 */
export function createTemporary(
  context: FsContext,
  caller: Caller,
  parent: Ino,
  mode: number,
): MaybePromise<CreatedFile> {
  const kind = { mode: S_IFREG | (mode & PERMISSION_BITS) };
  return makeOpen(context, mode, (tx, time, takeContent) => {
    const directory = requireParent(tx, parent);
    if (!takeContent()) return undefined;
    const inode = newInode(caller, directory, kind, 0, time);
    const ino = inoOf(tx.seq);
    // Leaves a trace in the history, so that no other operation, and no other inode, gets this number.
    tx.putInode(ino, inode);
    tx.deleteInode(ino);
    return { ino, inode };
  });
}

/**
 * Runs the operation that makes a file together with its content file, and again when it has to wait for one.
 *
 * @param make calls `takeContent` when nothing stands in the way any more and nothing has been written yet. That answers
 *   whether there is a spare one just now: if not, the operation must end without a trace. The content file is stamped with
 *   `time`, which has to be the inode's.
 */
function makeOpen(
  context: FsContext,
  mode: number,
  make: (tx: MetadataTransaction, time: Time, takeContent: () => boolean) => NewFile | undefined,
): MaybePromise<CreatedFile> {
  requireWritable(context);
  let content: OpenContent | undefined;
  try {
    const time = nowOf(context.clock);
    const file = context.metadata.update((tx) =>
      make(tx, time, () => {
        content = context.cache.create(tx, inoOf(tx.seq), time, !hasPrivileges(mode));
        return content !== undefined;
      }),
    );
    if (file !== undefined && content !== undefined) return createdFile(context, file, content);
  } catch (error) {
    if (content !== undefined) context.cache.abandon(content);
    throw error;
  }
  return context.cache.spareReady().then(() => makeOpen(context, mode, make));
}

function createdFile(context: FsContext, { ino, inode }: NewFile, content: OpenContent): CreatedFile {
  context.inodes.countLookup(ino);
  const { mtime } = inode;
  if (inode.nlink === 0) {
    context.inodes.addOrphan(ino, { inode, sizeBytes: 0, mtime, xattrs: new Map(), temporary: true });
  }
  const attributes = fileAttributes(ino, inode, { sizeBytes: 0, diskBytes: 0, mtime, moving: true });
  return { attributes, opened: openedFile(context, ino, content, true) };
}

/** Somebody made the name since the kernel looked: open(2) without O_EXCL takes it. */
async function openExisting(context: FsContext, parent: Ino, name: Name, flags: number): Promise<CreatedFile> {
  const { ino } = lookup(context, parent, name);
  try {
    const opened = await open(context, ino, flags);
    const attributes = lookup(context, parent, name);
    forget(context, ino, 1);
    return { attributes, opened };
  } catch (error) {
    forget(context, ino, 1);
    throw error;
  }
}

/** @throws FsError stale, is-directory, invalid, read-only; CacheError */
export function open(context: FsContext, ino: Ino, flags: number): MaybePromise<OpenedFile> {
  const truncate = (flags & O_TRUNC) !== 0;
  const write = truncate || (flags & O_ACCMODE) !== O_RDONLY;
  if (write) requireWritable(context);
  const content = openContent(context, ino, { write, truncate });
  if (content instanceof Promise) return content.then((content) => finishOpen(context, ino, content, write, truncate));
  return finishOpen(context, ino, content, write, truncate);
}

function finishOpen(context: FsContext, ino: Ino, content: OpenContent, write: boolean, truncate: boolean): OpenedFile {
  if (truncate) {
    try {
      applyChanges(context, ino, { mtime: "now" });
    } catch (error) {
      context.cache.close(content, { write });
      throw error;
    }
  }
  return openedFile(context, ino, content, write);
}

/** Takes the reader or writer `content` counts for this handle over. */
function openedFile(context: FsContext, ino: Ino, content: OpenContent, write: boolean): OpenedFile {
  const { id } = context.handles.openFile(ino, content, write);
  if (content.mode === "passthrough") {
    // No page of such a handle is the inode's own; but what the kernel has from before does not see these writes.
    if (write) context.inodes.markPagesOutdated(ino);
    return { handle: id, content, keepCache: true };
  }
  return { handle: id, content, keepCache: !context.inodes.takePagesOutdated(ino) };
}

/** Promise 1 of DESIGN section 4: with `--durability close`, close(2) waits for the volume. */
export function flush(context: FsContext, id: HandleId): MaybePromise<void> {
  const { ino, write } = context.handles.file(id);
  if (context.durability !== "close" || !write || context.inodes.orphan(ino) !== undefined) return;
  return context.publisher.syncInode(ino);
}

export function release(context: FsContext, id: HandleId): void {
  const handle = context.handles.file(id);
  const { ino, content, write } = handle;
  const orphan = context.inodes.orphan(ino);
  // A reader's file may say when it was fetched; a writer's says what it is.
  if (orphan !== undefined && write) {
    const { sizeBytes, mtime } = content.stat();
    orphan.sizeBytes = sizeBytes;
    orphan.mtime = mtime;
  }
  context.handles.release(handle);
  context.cache.close(content, { write });
  dropUnusedOrphan(context, ino);
}

/** Bytes, size, times and names, durable where `--durability` says: an fdatasync that left out times would save nothing. */
export async function sync(context: FsContext, id: HandleId): Promise<void> {
  const { ino } = context.handles.file(id);
  // What has no name has nowhere to be found again. A mount that may not write any more asks all the same: when something
  // is unpublished it must not say that all is well.
  if (context.inodes.orphan(ino) !== undefined) return;
  if (context.durability === "local") {
    await context.cache.syncLocal(ino);
    await context.metadata.sync();
  } else await context.publisher.syncInode(ino);
}
