import { type Attributes, FsError, type RenameMode } from "../../fs/index.js";
import { REPLY_NONE } from "../../native/index.js";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "./flags.js";
import type { HandlerContext } from "./handler.js";
import type { Outcome } from "./outcome.js";
import { BatchForgetIn, ForgetIn, ForgetOne, LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn } from "./structs.js";

/** LOOKUP. That a name is not there is an answer too, which the kernel keeps. */
export function lookup({ request, reply, fileSystem, knownDirectories }: HandlerContext): Outcome {
  let attributes: Attributes;
  try {
    attributes = fileSystem.lookup(request.ino, request.name(0));
  } catch (error) {
    if (!(error instanceof FsError) || error.kind !== "not-found") throw error;
    knownDirectories.missed(request.ino);
    return reply.absentEntry();
  }
  return reply.entry(attributes);
}

/** FORGET has no reply. */
export function forget({ request, fileSystem }: HandlerContext): Outcome {
  fileSystem.forget(request.ino, request.u64(ForgetIn.nlookup));
  return REPLY_NONE;
}

/** BATCH_FORGET has no reply. */
export function batchForget({ request, fileSystem }: HandlerContext): Outcome {
  const count = request.u32(BatchForgetIn.count);
  for (let index = 0; index < count; index++) {
    const at = BatchForgetIn.size + index * ForgetOne.size;
    fileSystem.forget(request.inoAt(at + ForgetOne.nodeid), request.u64(at + ForgetOne.nlookup));
  }
  return REPLY_NONE;
}

export function readlink({ request, reply, fileSystem }: HandlerContext): Outcome {
  return reply.name(fileSystem.readLink(request.ino));
}

export function symlink({ request, reply, fileSystem }: HandlerContext): Outcome {
  const name = request.name(0);
  const target = request.name(name.length + 1);
  return reply.entry(fileSystem.makeSymlink(request.caller, request.ino, name, target));
}

/** MKNOD, MKDIR: the kernel has applied the umask, as FUSE_DONT_MASK was not asked for. */
export function mknod({ request, reply, fileSystem }: HandlerContext): Outcome {
  const mode = request.u32(MknodIn.mode);
  const rdev = request.u32(MknodIn.rdev);
  return reply.entry(fileSystem.makeNode(request.caller, request.ino, request.name(MknodIn.names), mode, rdev));
}

export function mkdir({ request, reply, fileSystem }: HandlerContext): Outcome {
  const mode = request.u32(MkdirIn.mode);
  return reply.entry(fileSystem.makeDirectory(request.caller, request.ino, request.name(MkdirIn.names), mode));
}

export function unlink({ request, fileSystem }: HandlerContext): Outcome {
  fileSystem.unlink(request.caller, request.ino, request.name(0));
  return 0;
}

export function rmdir({ request, fileSystem }: HandlerContext): Outcome {
  fileSystem.removeDirectory(request.caller, request.ino, request.name(0));
  return 0;
}

export function rename(context: HandlerContext): Outcome {
  return renameNames(context, RenameIn.names, "replace");
}

/** RENAME2: renameat2(2) with flags. */
export function rename2(context: HandlerContext): Outcome {
  return renameNames(context, Rename2In.names, renameMode(context.request.u32(Rename2In.flags)));
}

function renameNames({ request, fileSystem }: HandlerContext, namesAt: number, mode: RenameMode): Outcome {
  const name = request.name(namesAt);
  const newName = request.name(namesAt + name.length + 1);
  const newParent = request.inoAt(RenameIn.newdir);
  fileSystem.rename(request.caller, request.ino, name, newParent, newName, mode);
  return 0;
}

function renameMode(flags: number): RenameMode {
  switch (flags) {
    case 0:
      return "replace";
    case RENAME_NOREPLACE:
      return "no-replace";
    case RENAME_EXCHANGE:
      return "exchange";
    default:
      throw new FsError("invalid", `renameat2 flags ${flags}`);
  }
}

/** LINK: the request's inode is the directory. */
export function link({ request, reply, fileSystem }: HandlerContext): Outcome {
  const ino = request.inoAt(LinkIn.oldnodeid);
  return reply.entry(fileSystem.link(request.caller, ino, request.ino, request.name(LinkIn.names)));
}
