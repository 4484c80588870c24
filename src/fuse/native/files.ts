import { constants } from "node:fs";
import type { Attributes, OpenedFile } from "../../fs/index.js";
import { FSYNC_DATA_ONLY, OPEN_KILL_SUIDGID, OpenFlag } from "./flags.js";
import type { HandlerContext } from "./handler.js";
import { answer, type Outcome, whenReady } from "./outcome.js";
import type { OpenReply } from "./reply.js";
import { CopyFileRangeIn, CreateIn, FallocateIn, FlushIn, FsyncIn, LseekIn, OpenIn, ReleaseIn } from "./structs.js";

const { O_RDONLY } = constants;
/** O_RDONLY, O_WRONLY or O_RDWR; Node does not name it. */
const O_ACCMODE = 3;
/** write_out.size has 32 bits; a page less than that keeps what follows aligned. */
const COPY_BYTES_MAX = 0x7fff_f000;

interface CreatedFile {
  readonly attributes: Attributes;
  readonly opened: OpenedFile;
}

/** OPEN. It may wait until a small file's content is there; nobody who is killed meanwhile has to. */
export function open(context: HandlerContext): Outcome {
  const { request, reply, fileSystem } = context;
  const { ino, caller } = request;
  const flags = request.u32(OpenIn.flags);
  // Truncating takes set-id bits away from a file its owner does not write himself.
  const stripped =
    (request.u32(OpenIn.openFlags) & OPEN_KILL_SUIDGID) === 0
      ? undefined
      : fileSystem.setAttributes(caller, ino, { killPrivileges: true });
  return answer(
    whenReady(stripped, () => fileSystem.open(ino, flags)),
    (opened) => reply.open(enter(context, opened, flags)),
    { interruptible: true, discard: ({ handle }) => fileSystem.release(handle) },
  );
}

export function create(context: HandlerContext): Outcome {
  const { request, fileSystem } = context;
  const mode = request.u32(CreateIn.mode);
  const flags = request.u32(CreateIn.flags);
  const name = request.name(CreateIn.names);
  return answerCreated(context, fileSystem.create(request.caller, request.ino, name, mode, flags), flags);
}

/** TMPFILE: open(2) with O_TMPFILE. Its name means nothing. */
export function tmpfile(context: HandlerContext): Outcome {
  const { request, fileSystem } = context;
  const flags = request.u32(CreateIn.flags);
  const mode = request.u32(CreateIn.mode);
  return answerCreated(context, fileSystem.createTemporary(request.caller, request.ino, mode, flags), flags);
}

/** Not interruptible: a file that was made and is not opened would be a surprise, and nothing waits for a backend. */
function answerCreated(context: HandlerContext, created: CreatedFile | Promise<CreatedFile>, flags: number): Outcome {
  const { reply, fileSystem } = context;
  return answer(created, ({ attributes, opened }) => reply.created(attributes, enter(context, opened, flags)), {
    discard: ({ attributes, opened }) => {
      fileSystem.release(opened.handle);
      fileSystem.forget(attributes.ino, 1);
    },
  });
}

function enter({ openModes, flushOnClose }: HandlerContext, opened: OpenedFile, flags: number): OpenReply {
  const { handle, content, keepCache } = opened;
  const backingId = openModes.enter(handle, content);
  const reader = (flags & O_ACCMODE) === O_RDONLY;
  const byteFlags = backingId > 0 ? OpenFlag.passthrough : keepCache ? OpenFlag.keepCache : 0;
  return { handle, backingId, flags: byteFlags | (reader || !flushOnClose ? OpenFlag.noFlush : 0) };
}

/** FLUSH: one per close(2) of a descriptor opened without FOPEN_NOFLUSH. */
export function flush({ request, fileSystem }: HandlerContext): Outcome {
  return answer(fileSystem.flush(request.handle(FlushIn.fh)), () => 0, { interruptible: true });
}

/** RELEASE: the last descriptor and the last mapping of the handle are gone. */
export function release({ request, fileSystem, openModes }: HandlerContext): Outcome {
  const handle = request.handle(ReleaseIn.fh);
  // First the modes: the content file may be closed as soon as the filesystem knows of no handle.
  openModes.leave(handle);
  fileSystem.release(handle);
  return 0;
}

export function fsync({ request, fileSystem }: HandlerContext): Outcome {
  const dataOnly = (request.u32(FsyncIn.flags) & FSYNC_DATA_ONLY) !== 0;
  return answer(fileSystem.sync(request.handle(FsyncIn.fh), dataOnly), () => 0, { interruptible: true });
}

export function fallocate({ request, fileSystem }: HandlerContext): Outcome {
  const handle = request.handle(FallocateIn.fh);
  const mode = request.u32(FallocateIn.mode);
  const allocated = fileSystem.fallocate(
    handle,
    mode,
    request.u64(FallocateIn.offset),
    request.u64(FallocateIn.length),
  );
  return answer(allocated, () => 0);
}

/** LSEEK: only SEEK_DATA and SEEK_HOLE come here. */
export function lseek({ request, reply, fileSystem }: HandlerContext): Outcome {
  const handle = request.handle(LseekIn.fh);
  const found = fileSystem.seek(handle, request.u64(LseekIn.offset), request.u32(LseekIn.whence));
  return answer(found, (offset) => reply.position(offset));
}

export function copyFileRange(context: HandlerContext): Outcome {
  return answer(copy(context), (count) => context.reply.written(count));
}

/** COPY_FILE_RANGE_64: the same with a 64-bit answer. */
export function copyFileRange64(context: HandlerContext): Outcome {
  return answer(copy(context), (count) => context.reply.copied(count));
}

function copy({ request, fileSystem }: HandlerContext): Promise<number> {
  return fileSystem.copyRange(
    request.handle(CopyFileRangeIn.fhIn),
    request.u64(CopyFileRangeIn.offIn),
    request.handle(CopyFileRangeIn.fhOut),
    request.u64(CopyFileRangeIn.offOut),
    Math.min(request.u64(CopyFileRangeIn.len), COPY_BYTES_MAX),
  );
}

/** SYNCFS. */
export function syncfs({ syncAll }: HandlerContext): Outcome {
  return answer(syncAll(), () => 0, { interruptible: true });
}
