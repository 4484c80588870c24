import type { AttributeChanges } from "../../fs/index.js";
import { SetattrValid } from "./flags.js";
import type { HandlerContext } from "./handler.js";
import { answer, type Outcome } from "./outcome.js";
import type { Request } from "./request.js";
import { SetattrIn } from "./structs.js";

/** GETATTR: stat(2), fstat(2), and whenever the kernel's own copy has expired. */
export function getattr({ request, reply, fileSystem }: HandlerContext): Outcome {
  return reply.attributes(fileSystem.getAttributes(request.ino));
}

/** STATX: GETATTR where the birth time is asked for (Linux 6.6 and later). */
export function statx({ request, reply, fileSystem }: HandlerContext): Outcome {
  return reply.statx(fileSystem.getAttributes(request.ino));
}

/** SETATTR: chmod, chown, truncate, utimens; the kernel has checked who may. */
export function setattr({ request, reply, fileSystem }: HandlerContext): Outcome {
  const changed = fileSystem.setAttributes(request.caller, request.ino, attributeChanges(request));
  return answer(changed, (attributes) => reply.attributes(attributes));
}

/** The fields of a SETATTR that are valid. Times come in pairs of seconds and nanoseconds, or as "now". */
export function attributeChanges(request: Request): AttributeChanges {
  const valid = request.u32(0);
  const has = (flag: number) => (valid & flag) !== 0;
  return {
    ...(has(SetattrValid.mode) && { mode: request.u32(SetattrIn.mode) }),
    ...(has(SetattrValid.uid) && { uid: request.u32(SetattrIn.uid) }),
    ...(has(SetattrValid.gid) && { gid: request.u32(SetattrIn.gid) }),
    ...(has(SetattrValid.size) && { sizeBytes: request.u64(SetattrIn.size) }),
    ...(has(SetattrValid.atime) && {
      atime: has(SetattrValid.atimeNow) ? "now" : time(request, SetattrIn.atime, SetattrIn.atimensec),
    }),
    ...(has(SetattrValid.mtime) && {
      mtime: has(SetattrValid.mtimeNow) ? "now" : time(request, SetattrIn.mtime, SetattrIn.mtimensec),
    }),
    ...(has(SetattrValid.killSuidgid) && { killPrivileges: true }),
    ...(has(SetattrValid.fh) && { handle: request.handle(SetattrIn.fh) }),
  };
}

function time(request: Request, secondsAt: number, nanosecondsAt: number) {
  return { sec: request.i64(secondsAt), nsec: request.u32(nanosecondsAt) };
}

/** STATFS. */
export function statfs({ reply, fileSystem }: HandlerContext): Outcome {
  return reply.totals(fileSystem.totals());
}
