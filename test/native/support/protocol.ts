/** The few FUSE messages that the mini filesystem answers; the real codec is src/fuse's. */
export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  access: 34,
  create: 35,
  interrupt: 36,
  batchForget: 42,
  readdirplus: 44,
} as const;

export function writeAttr(
  out: DataView,
  at: number,
  attr: { ino: number; mode: number; stat: Float64Array | undefined },
): void {
  const stat = attr.stat ?? new Float64Array(6);
  out.setBigUint64(at, BigInt(attr.ino), true);
  out.setBigUint64(at + 8, BigInt(stat[0] ?? 0), true);
  out.setBigUint64(at + 16, BigInt(stat[1] ?? 0), true);
  for (const [index, offset] of [2, 2, 4].entries()) {
    out.setBigUint64(at + 24 + index * 8, BigInt(stat[offset] ?? 0), true);
    out.setUint32(at + 48 + index * 4, stat[offset + 1] ?? 0, true);
  }
  out.setUint32(at + 60, attr.mode, true);
  out.setUint32(at + 64, 1, true);
  for (const offset of [68, 72, 76, 84]) out.setUint32(at + offset, 0, true);
  out.setUint32(at + 80, 4096, true);
}

/** fuse_entry_out without its attributes, which follow at 40; nothing may be cached. */
export function writeEntry(out: DataView, ino: number): void {
  out.setBigUint64(0, BigInt(ino), true);
  for (const offset of [8, 16, 24, 32]) out.setBigUint64(offset, 0n, true);
}

export function writeOpen(
  out: DataView,
  at: number,
  open: { handle: number; flags: number; backingId: number },
): number {
  out.setBigUint64(at, BigInt(open.handle), true);
  out.setUint32(at + 8, open.flags, true);
  out.setInt32(at + 12, open.backingId, true);
  return 16;
}
