/** A little-endian struct, field by field as in Linux's include/uapi/linux/fuse.h: [bytes, value]. */
export function struct(...fields: readonly (readonly [bytes: 2 | 4 | 8, value: bigint | number])[]): Buffer {
  return Buffer.concat(
    fields.map(([bytes, value]) => {
      const field = Buffer.alloc(8);
      field.writeBigInt64LE(BigInt.asIntN(64, BigInt(value)));
      return field.subarray(0, bytes);
    }),
  );
}

/** struct fuse_in_header of uid 1000, gid 100, pid 4711, and a body; text is one byte per char. */
export function message(opcode: number, nodeid: bigint | number, ...body: readonly (Buffer | string)[]): Buffer {
  const bytes = Buffer.concat(body.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));
  const header = struct([4, 40 + bytes.length], [4, opcode], [8, 0x12_3456_789a], [8, nodeid]);
  return Buffer.concat([header, struct([4, 1000], [4, 100], [4, 4711], [2, 0], [2, 0]), bytes]);
}
