import type { HandleId, Ino, Name } from "../base/index.js";
import { namedInode } from "./attributes.js";
import { checkName, type FsContext, mutate, requireInode, requireParent } from "./context.js";
import { FsError, NO_SUCH_NAME } from "./errors.js";
import type { DirectoryEntry } from "./file-system.js";
import type { DirectoryHandle } from "./handles.js";
import { isDirectory, S_IFDIR } from "./modes.js";
import { dropDirectory, dropUnusedOrphan, keepRemoved } from "./removal.js";

/** Cookies: what was listed before the names, then 1 + position in the trail + these. */
const COOKIE_START = 0;
const COOKIE_SELF = 1;
const COOKIE_PARENT = 2;

/** @throws FsError stale, not-directory */
export function openDirectory(context: FsContext, ino: Ino): HandleId {
  const inode = context.inodes.orphan(ino)?.inode ?? namedInode(context.metadata, ino);
  if (!isDirectory(inode.mode)) throw new FsError("not-directory", `inode ${ino} is not a directory`);
  return context.handles.openDirectory(ino).id;
}

/**
 * What was listed before is listed again from the trail, less what is gone; what follows it, from the directory. So
 * each name has one cookie while the handle is open, and none is skipped or repeated whatever happens meanwhile.
 */
export function readDirectory(
  context: FsContext,
  id: HandleId,
  cookie: number,
  limit: number,
): readonly DirectoryEntry[] {
  const handle = context.handles.directory(id);
  const { ino, trail } = handle;
  if (cookie === COOKIE_START) beginListing(context, handle);
  const entries: DirectoryEntry[] = [];
  if (cookie < COOKIE_SELF && limit > 0) entries.push(dot("." as Name, ino, COOKIE_SELF));
  if (cookie < COOKIE_PARENT && entries.length < limit) entries.push(dot(".." as Name, ino, COOKIE_PARENT));

  let position = Math.max(cookie - COOKIE_PARENT, 0);
  if (position > trail.length) return entries;
  for (const name of trail.from(position)) {
    if (entries.length >= limit) return entries;
    position += 1;
    const dentry = context.metadata.dentry(ino, name);
    if (dentry === undefined) continue;
    entries.push({ name, ino: dentry.ino, type: dentry.type, cookie: position + COOKIE_PARENT });
  }
  if (entries.length >= limit) return entries;
  for (const [name, dentry] of context.metadata.dentries(ino, trail.last, limit - entries.length)) {
    trail.push(name);
    entries.push({ name, ino: dentry.ino, type: dentry.type, cookie: trail.length + COOKIE_PARENT });
  }
  return entries;
}

/**
 * rewinddir(3) asks for the directory as it is now; seekdir(3) to the start does too, and must not end what telldir(3) gave
 * before. They look the same here, so the trail is kept for as long as it is right.
 */
function beginListing(context: FsContext, handle: DirectoryHandle): void {
  const seq = context.metadata.directoryTimes(handle.ino)?.seq;
  if (seq === handle.listedSeq) return;
  handle.trail.clear();
  handle.listedSeq = seq;
}

/** The kernel knows itself where ".." leads; nothing here records it, so the directory's own number stands in. */
function dot(name: Name, ino: Ino, cookie: number): DirectoryEntry {
  return { name, ino, type: S_IFDIR, cookie };
}

export function releaseDirectory(context: FsContext, id: HandleId): void {
  const handle = context.handles.directory(id);
  context.handles.release(handle);
  dropUnusedOrphan(context, handle.ino);
}

export async function syncDirectory(context: FsContext, id: HandleId): Promise<void> {
  const { ino } = context.handles.directory(id);
  if (context.inodes.orphan(ino) !== undefined) return;
  if (context.durability === "local") await context.metadata.sync();
  else await context.publisher.syncDirectory(ino);
}

/** @throws FsError not-found, name-too-long, not-directory, not-empty, read-only */
export function removeDirectory(context: FsContext, parent: Ino, name: Name): void {
  checkName(context, name);
  const removed = mutate(context, (tx, time) => {
    requireParent(tx, parent);
    const dentry = tx.dentry(parent, name);
    if (dentry === undefined) throw NO_SUCH_NAME;
    const { ino } = dentry;
    const inode = requireInode(tx, ino);
    if (!isDirectory(inode.mode)) throw new FsError("not-directory", "rmdir removes directories only");
    if (!tx.isEmptyDirectory(ino)) throw new FsError("not-empty", "the directory has entries");
    tx.deleteDentry(parent, name);
    tx.touch(parent, time, -1);
    tx.dependsOn({ directories: [parent], removedDirectories: [ino] });
    return dropDirectory(tx, ino, inode, time);
  });
  keepRemoved(context, removed);
}
