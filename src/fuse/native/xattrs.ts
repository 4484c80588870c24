import type { Name } from "../../base/index.js";
import { Errno } from "../errno.js";
import type { HandlerContext } from "./handler.js";
import type { Outcome } from "./outcome.js";
import { GetxattrIn, SetxattrIn } from "./structs.js";

export function setxattr({ request, fileSystem }: HandlerContext): Outcome {
  const name = request.name(SetxattrIn.names);
  const value = request.copyBytes(SetxattrIn.names + name.length + 1, request.u32(SetxattrIn.size));
  fileSystem.setXattr(request.caller, request.ino, name, value, request.u32(SetxattrIn.flags));
  return 0;
}

/** GETXATTR: the value, or with size 0 how long it is. */
export function getxattr({ request, reply, fileSystem }: HandlerContext): Outcome {
  const value = fileSystem.getXattr(request.ino, request.name(GetxattrIn.names));
  const room = request.u32(GetxattrIn.size);
  if (room === 0) return reply.xattrSize(value.byteLength);
  return value.byteLength > room ? -Errno.ERANGE : reply.data(value);
}

/** LISTXATTR: the names, each with its NUL, or with size 0 how long they are together. */
export function listxattr({ request, reply, fileSystem }: HandlerContext): Outcome {
  const list = fileSystem
    .listXattrs(request.ino)
    .map((name) => `${name}\0`)
    .join("") as Name;
  const room = request.u32(GetxattrIn.size);
  if (room === 0) return reply.xattrSize(list.length);
  return list.length > room ? -Errno.ERANGE : reply.name(list);
}

export function removexattr({ request, fileSystem }: HandlerContext): Outcome {
  fileSystem.removeXattr(request.caller, request.ino, request.name(0));
  return 0;
}
