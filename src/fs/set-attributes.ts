import type { Ino, Name } from "../base/index.js";
import type { OpenContent } from "../cache/index.js";
import { type InodeRecord, isSameTime, nowOf, type Time } from "../format/index.js";
import type { MetadataTransaction } from "../meta/index.js";
import { attributesOf, inodeAttributes, namedInode } from "./attributes.js";
import { type FsContext, mutate, requireDirectoryTimes, requireWritable } from "./context.js";
import { FsError } from "./errors.js";
import type { AttributeChanges, Attributes, MaybePromise } from "./file-system.js";
import type { Orphan } from "./inodes.js";
import { hasPrivileges, isDirectory, isRegular, PERMISSION_BITS, S_IFMT, withoutPrivileges } from "./modes.js";

/** The file's own privileges, as setcap(8) stores them. */
const CAPABILITY_XATTR = "security.capability" as Name;

/**
 * chmod, chown, utimens and truncate. Who may is the kernel's business (setattr_prepare in its fs/attr.c).
 * @throws FsError stale, read-only, is-directory, invalid, file-too-large; CacheError when content cannot be had
 */
export function setAttributes(context: FsContext, ino: Ino, changes: AttributeChanges): MaybePromise<Attributes> {
  requireWritable(context);
  if (changes.sizeBytes !== undefined) return resize(context, ino, changes, changes.sizeBytes);
  const changed = isIdle(context, ino, changes) ? undefined : applyChanges(context, ino, changes);
  return changed === undefined ? attributesOf(context, ino) : inodeAttributes(context, ino, changed);
}

/** Each write by an unprivileged user asks to clear privileges, which are seldom there. */
function isIdle(context: FsContext, ino: Ino, changes: AttributeChanges): boolean {
  if (!changes.killPrivileges || Object.keys(changes).length > 1) return false;
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) return !hasPrivileges(orphan.inode.mode) && !orphan.xattrs.has(CAPABILITY_XATTR);
  const { mode } = namedInode(context.metadata, ino);
  return !hasPrivileges(mode) && context.metadata.xattr(ino, CAPABILITY_XATTR) === undefined;
}

async function resize(context: FsContext, ino: Ino, changes: AttributeChanges, sizeBytes: number): Promise<Attributes> {
  if (!(sizeBytes >= 0)) throw new FsError("invalid", `${sizeBytes} is not a file size`);
  const { fileSizeBytesMax } = context.limits;
  if (sizeBytes > fileSizeBytesMax)
    throw new FsError("file-too-large", `${sizeBytes} bytes; at most ${fileSizeBytesMax}`);
  // Truncating marks mtime even when the size stays: ftruncate(2).
  const restamped: AttributeChanges = { mtime: "now", ...changes };
  await withWritableContent(context, ino, changes, sizeBytes === 0, async (content) => {
    if (content.stat().sizeBytes !== sizeBytes) await content.file.truncate(sizeBytes);
    applyChanges(context, ino, restamped);
  });
  return attributesOf(context, ino);
}

/** Through the handle the kernel names, else as a writer of its own, who closes again. */
async function withWritableContent(
  context: FsContext,
  ino: Ino,
  changes: AttributeChanges,
  truncate: boolean,
  change: (content: OpenContent) => Promise<void>,
): Promise<void> {
  const handle = changes.handle === undefined ? undefined : context.handles.file(changes.handle);
  if (handle?.write) return change(handle.content);
  const content = await openContent(context, ino, { write: true, truncate });
  try {
    await change(content);
  } finally {
    context.cache.close(content, { write: true });
  }
}

/**
 * Opens a regular file's content as a reader or writer.
 * @throws FsError is-directory, invalid (no regular file), stale; CacheError
 */
export function openContent(
  context: FsContext,
  ino: Ino,
  { write, truncate }: { readonly write: boolean; readonly truncate: boolean },
): MaybePromise<OpenContent> {
  const orphan = context.inodes.orphan(ino);
  const { mode } = orphan?.inode ?? namedInode(context.metadata, ino);
  if (isDirectory(mode)) throw new FsError("is-directory", `inode ${ino} is a directory`);
  if (!isRegular(mode)) throw new FsError("invalid", `inode ${ino} is not a regular file`);
  // An unlinked file's content is there only as long as somebody has it open.
  if (orphan !== undefined && context.cache.opened(ino) === undefined) {
    throw new FsError("stale", `inode ${ino} was deleted`);
  }
  // Inside the kernel, a write would leave set-id bits as they are.
  return context.cache.open(ino, { write, truncate, passthroughAllowed: !write || !hasPrivileges(mode) });
}

/**
 * Everything but the size, as one operation, or none where nothing changes: ctime always does (chown with nothing else to
 * change sets it too), but not within a tick of the clock.
 * @returns the inode's record, if it has a name
 * @throws FsError stale, read-only
 */
export function applyChanges(context: FsContext, ino: Ino, changes: AttributeChanges): InodeRecord | undefined {
  const orphan = context.inodes.orphan(ino);
  if (orphan !== undefined) {
    changeOrphan(context, ino, orphan, changes);
    return undefined;
  }
  return mutate(context, (tx, time) => {
    const inode = namedInode(tx, ino);
    const changed = withChanges(inode, changes, time);
    const losesCapability = changes.killPrivileges === true && tx.xattr(ino, CAPABILITY_XATTR) !== undefined;
    if (!losesCapability && changesNothing(inode, changed, changes)) return inode;
    tx.putInode(ino, changed);
    if (isDirectory(inode.mode)) {
      const times = requireDirectoryTimes(tx, ino);
      const mtime = changes.mtime === undefined ? times.mtime : changed.mtime;
      tx.putDirectoryTimes(ino, { ...times, mtime, ctime: time });
    } else if (isRegular(inode.mode) && changes.mtime !== undefined) setContentMtime(context, tx, ino, changed.mtime);
    if (losesCapability) tx.deleteXattr(ino, CAPABILITY_XATTR);
    tx.dependsOn({ inodes: [ino] });
    return changed;
  });
}

/**
 * Whoever unpacks an archive sets owner, mode and times one after the other, whether they differ or not: within a tick of
 * the clock that is no change at all. A directory's times, and content's, are elsewhere.
 */
function changesNothing(inode: InodeRecord, changed: InodeRecord, changes: AttributeChanges): boolean {
  return (
    !isDirectory(inode.mode) &&
    changes.mtime === undefined &&
    changed.mode === inode.mode &&
    changed.uid === inode.uid &&
    changed.gid === inode.gid &&
    isSameTime(changed.atime, inode.atime) &&
    isSameTime(changed.ctime, inode.ctime)
  );
}

/** Where the truth about it is: with the dirty file, which may be open and written to, or in the volume. */
export function setContentMtime(context: FsContext, tx: MetadataTransaction, ino: Ino, mtime: Time): void {
  if (tx.local(ino)?.dirty) {
    context.cache.setMtime(tx, ino, mtime);
    return;
  }
  const content = tx.content(ino);
  if (content !== undefined) tx.putContent(ino, { sizeBytes: content.sizeBytes, mtime }, undefined);
}

function changeOrphan(context: FsContext, ino: Ino, orphan: Orphan, changes: AttributeChanges): void {
  const changed = withChanges(orphan.inode, changes, nowOf(context.clock));
  orphan.inode = changed;
  if (changes.killPrivileges) orphan.xattrs.delete(CAPABILITY_XATTR);
  if (changes.mtime === undefined) return;
  orphan.mtime = changed.mtime;
  // An unlinked file's content goes with its last handle; a temporary one's stays, for it may be named.
  if (!orphan.temporary && context.cache.opened(ino) === undefined) return;
  context.metadata.update((tx) => context.cache.setMtime(tx, ino, changed.mtime));
}

function withChanges(inode: InodeRecord, changes: AttributeChanges, time: Time): InodeRecord {
  let { mode } = inode;
  if (changes.mode !== undefined) mode = (mode & S_IFMT) | (changes.mode & PERMISSION_BITS);
  if (changes.killPrivileges) mode = withoutPrivileges(mode);
  return {
    ...inode,
    mode,
    uid: changes.uid ?? inode.uid,
    gid: changes.gid ?? inode.gid,
    atime: timeOf(changes.atime, time) ?? inode.atime,
    mtime: timeOf(changes.mtime, time) ?? inode.mtime,
    ctime: time,
  };
}

function timeOf(change: Time | "now" | undefined, now: Time): Time | undefined {
  return change === "now" ? now : change;
}
