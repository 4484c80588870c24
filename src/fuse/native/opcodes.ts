/** Requests of the FUSE protocol: `enum fuse_opcode` in Linux's include/uapi/linux/fuse.h. */
export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  access: 34,
  create: 35,
  interrupt: 36,
  bmap: 37,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  notifyReply: 41,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  setupMapping: 48,
  removeMapping: 49,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const;

/** Beyond every opcode: the length of a table indexed by them. */
export const OPCODE_LIMIT = 64;

const NAMES = new Map<number, string>(Object.entries(Opcode).map(([name, opcode]) => [opcode, name]));

/** The operation's name as status and metrics show it. */
export function operationName(opcode: number): string {
  return NAMES.get(opcode) ?? `opcode${opcode}`;
}

/** Counters as the engine has them, [opcode, requests, …], by name. */
export function countersByName(counters: readonly number[]): Record<string, number> {
  const byName: Record<string, number> = {};
  for (let index = 0; index + 1 < counters.length; index += 2) {
    const requests = counters[index + 1] ?? 0;
    if (requests > 0) byName[operationName(counters[index] ?? 0)] = requests;
  }
  return byName;
}
