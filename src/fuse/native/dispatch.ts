import { Errno } from "../errno.js";
import { getattr, setattr, statfs, statx } from "./attributes.js";
import { fsyncdir, opendir, readdir, readdirplus, releasedir } from "./directories.js";
import {
  copyFileRange,
  copyFileRange64,
  create,
  fallocate,
  flush,
  fsync,
  lseek,
  open,
  release,
  syncfs,
  tmpfile,
} from "./files.js";
import type { Handler } from "./handler.js";
import {
  batchForget,
  forget,
  link,
  lookup,
  mkdir,
  mknod,
  readlink,
  rename,
  rename2,
  rmdir,
  symlink,
  unlink,
} from "./names.js";
import { OPCODE_LIMIT, Opcode } from "./opcodes.js";
import { getxattr, listxattr, removexattr, setxattr } from "./xattrs.js";

const refuse =
  (errno: number): Handler =>
  () =>
    -errno;

/** ENOSYS: the kernel does not ask again, and does what it does without. */
const notAsked = refuse(Errno.ENOSYS);

/** Who answers which request. INTERRUPT is the session's own, IOCTL the engine's. */
const HANDLERS: Readonly<Partial<Record<keyof typeof Opcode, Handler>>> = {
  lookup,
  forget,
  getattr,
  setattr,
  readlink,
  symlink,
  mknod,
  mkdir,
  unlink,
  rmdir,
  rename,
  link,
  open,
  // The engine answers these; what reaches this place is for a handle nobody has.
  read: refuse(Errno.EIO),
  write: refuse(Errno.EIO),
  statfs,
  release,
  fsync,
  setxattr,
  getxattr,
  listxattr,
  removexattr,
  flush,
  opendir,
  readdir,
  releasedir,
  fsyncdir,
  // The kernel checks permissions itself (default_permissions) and keeps locks itself.
  access: notAsked,
  create,
  batchForget,
  fallocate,
  readdirplus,
  rename2,
  lseek,
  copyFileRange,
  syncfs,
  tmpfile,
  statx,
  copyFileRange64,
};

const BY_OPCODE: readonly Handler[] = Array.from({ length: OPCODE_LIMIT }, (_, opcode) => {
  const name = Object.entries(Opcode).find(([, number]) => number === opcode)?.[0];
  return HANDLERS[name as keyof typeof Opcode] ?? notAsked;
});

export function handlerOf(opcode: number): Handler {
  return BY_OPCODE[opcode] ?? notAsked;
}
