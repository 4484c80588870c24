import { describe, expect, it } from "vitest";
import type { HandleId, Ino, Name } from "../../../src/base/index.js";
import type { Attributes } from "../../../src/fs/index.js";
import { EXCLUSIVE_VALIDITY } from "../../../src/fuse/index.js";
import { attributeChanges } from "../../../src/fuse/native/attributes.js";
import { Reply } from "../../../src/fuse/native/reply.js";
import { Request } from "../../../src/fuse/native/request.js";
import { message, struct } from "../../support/fuse-messages.js";

/** A request in a buffer that still holds another, longer one behind it. */
function load(bytes: Buffer): Request {
  const buffer = new Uint8Array(4096).fill(0x55);
  buffer.set(bytes);
  const request = new Request(buffer);
  request.load(bytes.length);
  return request;
}

const attributes: Attributes = {
  ino: 0x1_2345_6789 as Ino,
  mode: 0o100644,
  nlink: 3,
  uid: 1000,
  gid: 100,
  rdev: 0x0801_2c05,
  sizeBytes: 5_000_000_001,
  diskBytes: 1025,
  atime: { sec: -2, nsec: 999_999_999 },
  mtime: { sec: 4_294_969_200, nsec: 1 },
  ctime: { sec: 1, nsec: 2 },
  btime: { sec: 3, nsec: 4 },
  cacheable: true,
};

/** struct fuse_attr of the above. */
const attr = struct(
  [8, 0x1_2345_6789n],
  [8, 5_000_000_001],
  [8, 3],
  [8, -2],
  [8, 4_294_969_200],
  [8, 1],
  [4, 999_999_999],
  [4, 1],
  [4, 2],
  [4, 0o100644],
  [4, 3],
  [4, 1000],
  [4, 100],
  [4, 0x0801_2c05],
  [4, 4096],
  [4, 0],
);
const FOREVER_S = 365 * 24 * 3600;

function newReply(validity = EXCLUSIVE_VALIDITY): Reply {
  return new Reply(new Uint8Array(4096).fill(0xaa), validity);
}

function bodyOf(reply: Reply, length: number): Buffer {
  return Buffer.from(reply.bytes.subarray(0, length));
}

describe("a FUSE request", () => {
  it("is read from its header and body, 64-bit numbers included", () => {
    const request = load(message(3, 0x1f_ffff_ffff_ffffn, struct([4, 7], [4, 9], [8, 0x12_3456_789a_bcden])));
    expect(request.opcode).toBe(3);
    expect(request.unique).toBe(0x12_3456_789a);
    expect(request.ino).toBe(Number.MAX_SAFE_INTEGER);
    expect(request.caller).toEqual({ uid: 1000, gid: 100, pid: 4711 });
    expect([request.u32(0), request.u32(4), request.u64(8)]).toEqual([7, 9, 0x12_3456_789a_bcde]);
  });

  it("has names of bytes, one after the other, that end at a NUL or with the message", () => {
    const renamed = load(message(12, 1, struct([8, 2]), "old \xff\x01\0new\0"));
    expect(renamed.name(8)).toBe("old \xff\x01");
    expect(renamed.name(8 + 7)).toBe("new");
    expect(load(message(1, 1, "unterminated")).name(0)).toBe("unterminated");
  });

  it("copies bytes, and no more than it has", () => {
    const request = load(message(21, 1, struct([4, 5], [4, 0]), "user.a\0", Buffer.from([1, 2, 3, 4, 5])));
    const value = request.copyBytes(8 + 7, 5);
    expect([...value]).toEqual([1, 2, 3, 4, 5]);
    expect(request.copyBytes(8 + 7, 500)).toHaveLength(5);
    expect(value.buffer.byteLength).toBe(5);
  });

  it("says what setattr changes, and nothing else", () => {
    const setattr = (valid: number) =>
      attributeChanges(
        load(
          message(
            4,
            2,
            struct([4, valid], [4, 0], [8, 77], [8, 4096], [8, 0], [8, -5], [8, 6], [8, 0]),
            struct([4, 123], [4, 456], [4, 0], [4, 0o644], [4, 0], [4, 1], [4, 2], [4, 0]),
          ),
        ),
      );
    expect(setattr(0)).toEqual({});
    expect(setattr(1 | 2 | 4)).toEqual({ mode: 0o644, uid: 1, gid: 2 });
    expect(setattr(8 | 64)).toEqual({ sizeBytes: 4096, handle: 77 });
    expect(setattr(16 | 32)).toEqual({ atime: { sec: -5, nsec: 123 }, mtime: { sec: 6, nsec: 456 } });
    expect(setattr(16 | 128 | 32 | 256)).toEqual({ atime: "now", mtime: "now" });
    expect(setattr(1 << 11)).toEqual({ killPrivileges: true });
  });
});

describe("a FUSE reply", () => {
  it("has entries as fuse_entry_out", () => {
    const reply = newReply();
    const expected = Buffer.concat([
      struct([8, 0x1_2345_6789n], [8, 0], [8, FOREVER_S], [8, FOREVER_S], [4, 0], [4, 0]),
      attr,
    ]);
    expect(bodyOf(reply, reply.entry(attributes))).toEqual(expected);
    expect(expected).toHaveLength(128);
  });

  it("tells the kernel to keep absent names, and to keep no attributes that may change", () => {
    const reply = newReply({ namesMs: 1500, absentNamesMs: 250, attributesMs: 1001, writtenAttributesMs: 0 });
    const absent = struct([8, 0], [8, 0], [8, 0], [8, 0], [4, 250_000_000], [4, 0]);
    expect(bodyOf(reply, reply.absentEntry())).toEqual(Buffer.concat([absent, Buffer.alloc(88)]));
    const entry = (cacheable: boolean) => bodyOf(reply, reply.entry({ ...attributes, cacheable })).subarray(16, 40);
    expect(entry(true)).toEqual(struct([8, 1], [8, 1], [4, 500_000_000], [4, 1_000_000]));
    expect(entry(false)).toEqual(struct([8, 1], [8, 0], [4, 500_000_000], [4, 0]));
  });

  it("has attributes as fuse_attr_out", () => {
    const reply = newReply();
    const expected = Buffer.concat([struct([8, FOREVER_S], [4, 0], [4, 0]), attr]);
    expect(bodyOf(reply, reply.attributes(attributes))).toEqual(expected);
    expect(expected).toHaveLength(104);
  });

  it("has birth times as fuse_statx_out", () => {
    const reply = newReply();
    const time = (sec: number, nsec: number) => struct([8, sec], [4, nsec], [4, 0]);
    const expected = Buffer.concat([
      struct([8, FOREVER_S], [4, 0], [4, 0], [8, 0], [8, 0]),
      struct([4, 0xfff], [4, 4096], [8, 0], [4, 3], [4, 1000], [4, 100], [2, 0o100644], [2, 0]),
      struct([8, 0x1_2345_6789n], [8, 5_000_000_001], [8, 3], [8, 0]),
      ...[time(-2, 999_999_999), time(3, 4), time(1, 2), time(4_294_969_200, 1)],
      struct([4, 0x12c], [4, 0x08005], [4, 0], [4, 0]),
      Buffer.alloc(14 * 8),
    ]);
    expect(bodyOf(reply, reply.statx(attributes))).toEqual(expected);
    expect(expected).toHaveLength(288);
  });

  it("has created files as entry and open file", () => {
    const reply = newReply();
    const length = reply.created(attributes, { handle: 0x2_0000_0007 as HandleId, flags: 0x80, backingId: 9 });
    expect(length).toBe(144);
    expect(bodyOf(reply, length).subarray(128)).toEqual(struct([8, 0x2_0000_0007n], [4, 0x80], [4, 9]));
  });

  it("has the rest as small structs", () => {
    const reply = newReply();
    const totals = { totalBytes: 2 ** 50, freeBytes: 4095, files: 5, freeFiles: 6, nameBytesMax: 255 };
    expect(bodyOf(reply, reply.totals(totals))).toEqual(
      Buffer.concat([
        struct([8, 2 ** 38], [8, 0], [8, 0], [8, 5], [8, 6], [4, 4096], [4, 255], [4, 4096], [4, 0]),
        Buffer.alloc(24),
      ]),
    );
    expect(bodyOf(reply, reply.xattrSize(65536))).toEqual(struct([4, 65536], [4, 0]));
    expect(bodyOf(reply, reply.written(0x7fff_f000))).toEqual(struct([4, 0x7fff_f000], [4, 0]));
    expect(bodyOf(reply, reply.copied(0x1_0000_0000))).toEqual(struct([8, 0x1_0000_0000n]));
    expect(bodyOf(reply, reply.position(5_000_000_000))).toEqual(struct([8, 5_000_000_000]));
    expect(bodyOf(reply, reply.name("\xff\x01" as Name))).toEqual(Buffer.from([0xff, 1]));
  });
});
