import { type Attributes, type DirectoryEntry, FsError } from "../../fs/index.js";
import type { HandlerContext } from "./handler.js";
import { answer, type Outcome } from "./outcome.js";
import type { Reply } from "./reply.js";
import { Dirent, EntryOut, FsyncIn, ReadIn, ReleaseIn } from "./structs.js";

/** An entry's name takes at least 8 bytes with its padding. */
const DIRENT_BYTES_MIN = Dirent.name + 8;
const ALIGNMENT_BYTES = 8;
const TYPE_SHIFT = 12;

/** OPENDIR. No FOPEN_CACHE_DIR: the kernel's directory cache returned stale listings on 6.9 to 6.12. */
export function opendir({ request, reply, fileSystem }: HandlerContext): Outcome {
  return reply.open({ handle: fileSystem.openDirectory(request.ino), flags: 0, backingId: 0 });
}

/** READDIR: as many entries as fit; none at the end. */
export function readdir(context: HandlerContext): Outcome {
  const { request, reply } = context;
  const room = Math.min(request.u32(ReadIn.size), reply.capacity);
  let used = 0;
  for (const entry of entriesFor(context, room, DIRENT_BYTES_MIN)) {
    const bytes = direntBytes(entry);
    if (used + bytes > room) break;
    putDirent(reply, used, entry);
    used += bytes;
  }
  return used;
}

/** READDIRPLUS: entries with attributes, each of which counts as a lookup of its inode if it fits. */
export function readdirplus(context: HandlerContext): Outcome {
  const { request, reply, fileSystem } = context;
  const room = Math.min(request.u32(ReadIn.size), reply.capacity);
  let used = 0;
  for (const entry of entriesFor(context, room, EntryOut.bytes + DIRENT_BYTES_MIN)) {
    const bytes = EntryOut.bytes + direntBytes(entry);
    if (used + bytes > room) break;
    const attributes = isDot(entry) ? undefined : attributesIfThere(context, entry);
    if (attributes === undefined) {
      // Inode number 0: the kernel lists the name, and neither keeps nor counts an inode for it.
      reply.bytes.fill(0, used, used + EntryOut.bytes);
    } else {
      reply.entry(attributes, used);
      fileSystem.remember(attributes.ino);
    }
    putDirent(reply, used + EntryOut.bytes, entry);
    used += bytes;
  }
  return used;
}

export function releasedir({ request, fileSystem }: HandlerContext): Outcome {
  fileSystem.releaseDirectory(request.handle(ReleaseIn.fh));
  return 0;
}

export function fsyncdir({ request, fileSystem }: HandlerContext): Outcome {
  return answer(fileSystem.syncDirectory(request.handle(FsyncIn.fh)), () => 0, { interruptible: true });
}

function entriesFor(
  { request, fileSystem }: HandlerContext,
  room: number,
  entryBytesMin: number,
): readonly DirectoryEntry[] {
  const limit = Math.floor(room / entryBytesMin);
  return fileSystem.readDirectory(request.handle(ReadIn.fh), request.u64(ReadIn.offset), limit);
}

/** Undefined when the inode went between listing and asking. */
function attributesIfThere({ fileSystem }: HandlerContext, { ino }: DirectoryEntry): Attributes | undefined {
  try {
    return fileSystem.getAttributes(ino);
  } catch (error) {
    if (error instanceof FsError && error.kind === "stale") return undefined;
    throw error;
  }
}

function isDot({ name }: DirectoryEntry): boolean {
  return name === "." || name === "..";
}

function direntBytes({ name }: DirectoryEntry): number {
  return Math.ceil((Dirent.name + name.length) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

/** struct fuse_dirent; the padding is zero, so that nothing of earlier replies gets out. */
function putDirent(reply: Reply, at: number, entry: DirectoryEntry): void {
  reply.u64(at + Dirent.ino, entry.ino);
  reply.u64(at + Dirent.off, entry.cookie);
  reply.u32(at + Dirent.namelen, entry.name.length);
  reply.u32(at + Dirent.type, entry.type >>> TYPE_SHIFT);
  reply.name(entry.name, at + Dirent.name);
  reply.bytes.fill(0, at + Dirent.name + entry.name.length, at + direntBytes(entry));
}
