import { describe, expect, it } from "vitest";
import { ByteReader, BytesError, ByteWriter } from "../../../src/base/index.js";

const SAFE_MAX = Number.MAX_SAFE_INTEGER;

function kindOf(task: () => unknown): string {
  try {
    task();
    return "success";
  } catch (error) {
    if (error instanceof BytesError) return error.kind;
    throw error;
  }
}

describe("ByteWriter and ByteReader", () => {
  it("give back every kind of value, in order", () => {
    const bytes = new ByteWriter(1)
      .u8(255)
      .u16(0xbeef)
      .u32(0xdeadbeef)
      .u64(SAFE_MAX)
      .i64(-SAFE_MAX)
      .varint(300)
      .bytes(Uint8Array.of(1, 2))
      .hex("00ff7a", 3)
      .latin1("\x00\x80\xff")
      .prefixedBytes(Uint8Array.of(9))
      .prefixedLatin1("näme")
      .finish();
    const reader = new ByteReader(bytes);
    expect(reader.u8()).toBe(255);
    expect(reader.u16()).toBe(0xbeef);
    expect(reader.u32()).toBe(0xdeadbeef);
    expect(reader.u64()).toBe(SAFE_MAX);
    expect(reader.i64()).toBe(-SAFE_MAX);
    expect(reader.varint()).toBe(300);
    expect([...reader.bytes(2)]).toEqual([1, 2]);
    expect(reader.hex(3)).toBe("00ff7a");
    expect(reader.latin1(3)).toBe("\x00\x80\xff");
    expect([...reader.prefixedBytes()]).toEqual([9]);
    expect(reader.prefixedLatin1()).toBe("näme");
    reader.expectEnd();
  });

  it("write at any place, also where there is no room left", () => {
    const writes = {
      u8: (writer: ByteWriter) => writer.u8(0xa1),
      u16: (writer: ByteWriter) => writer.u16(0xa2a1),
      u32: (writer: ByteWriter) => writer.u32(0xa4a3a2a1),
      u64: (writer: ByteWriter) => writer.u64(0xa4a3a2a1),
      varint: (writer: ByteWriter) => writer.varint(0x21),
    };
    for (const [name, write] of Object.entries(writes)) {
      for (let before = 0; before < 70; before++) {
        const filled = Uint8Array.from({ length: before }, (_, index) => index);
        const bytes = write(new ByteWriter(1).bytes(filled)).finish();
        expect([...bytes.subarray(0, before)], name).toEqual([...filled]);
        expect([...bytes.subarray(before)], name).toEqual([...write(new ByteWriter(64)).finish()]);
      }
    }
  });

  it("are little-endian", () => {
    expect([
      ...new ByteWriter()
        .u16(1)
        .u32(2)
        .u64(2 ** 32 + 3)
        .i64(-2)
        .finish(),
    ]).toEqual([1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255]);
  });

  it.each([0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 49, SAFE_MAX - 1, SAFE_MAX])(
    "write %d in every 64-bit form",
    (value) => {
      const bytes = new ByteWriter().varint(value).u64(value).i64(value).i64(-value).finish();
      const reader = new ByteReader(bytes);
      expect([reader.varint(), reader.u64(), reader.i64(), reader.i64() + 0]).toEqual([value, value, value, 0 - value]);
      reader.expectEnd();
    },
  );

  it("read from the middle of a larger buffer", () => {
    const outer = Uint8Array.of(9, 9, 7, 0, 0x61, 9).subarray(2, 5);
    const reader = new ByteReader(outer);
    expect(reader.u16()).toBe(7);
    expect(reader.latin1(1)).toBe("a");
    expect(reader.remaining).toBe(0);
  });
});

describe("ByteReader", () => {
  it.each([
    ["u8", (reader: ByteReader) => reader.u8(), 0],
    ["u16", (reader: ByteReader) => reader.u16(), 1],
    ["u32", (reader: ByteReader) => reader.u32(), 3],
    ["u64", (reader: ByteReader) => reader.u64(), 7],
    ["bytes", (reader: ByteReader) => reader.bytes(5), 4],
    ["a hash", (reader: ByteReader) => reader.hex(32), 31],
    ["a string", (reader: ByteReader) => reader.latin1(2), 1],
  ] as const)("says that %s is cut off, and stays where it was", (_, read, length) => {
    const reader = new ByteReader(new Uint8Array(length));
    expect(kindOf(() => read(reader))).toBe("truncated");
    expect(reader.offset).toBe(0);
  });

  it("stays where it was when what a length announces is cut off", () => {
    const reader = new ByteReader(Uint8Array.of(5, 1, 2));
    expect(kindOf(() => reader.prefixedBytes())).toBe("truncated");
    expect(reader.offset).toBe(0);
  });

  it.each([
    [[0x80], "truncated"],
    [[0x80, 0x00], "malformed"],
    [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], "success"],
    [[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], "malformed"],
    [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "malformed"],
  ])("takes the varint %j for a %s", (bytes, expected) => {
    expect(kindOf(() => new ByteReader(Uint8Array.from(bytes)).varint())).toBe(expected);
  });

  it("refuses integers beyond 2^53, lengths that are not, and bytes left over", () => {
    expect(kindOf(() => new ByteReader(new Uint8Array(8).fill(255)).u64())).toBe("malformed");
    expect(kindOf(() => new ByteReader(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80)).i64())).toBe("malformed");
    expect(kindOf(() => new ByteReader(new Uint8Array(8)).bytes(-1))).toBe("truncated");
    expect(kindOf(() => new ByteReader(new Uint8Array(8)).bytes(Number.NaN))).toBe("truncated");
    expect(kindOf(() => new ByteReader(new Uint8Array(1)).expectEnd())).toBe("malformed");
  });
});

describe("ByteWriter", () => {
  it.each([
    ["a negative number", (writer: ByteWriter) => writer.varint(-1)],
    ["a fraction", (writer: ByteWriter) => writer.u32(1.5)],
    ["a number beyond its field", (writer: ByteWriter) => writer.u8(256)],
    ["an unsafe integer", (writer: ByteWriter) => writer.u64(2 ** 53)],
    ["too few hex digits", (writer: ByteWriter) => writer.hex("ff", 2)],
    ["what is no hex digit", (writer: ByteWriter) => writer.hex("fg", 1)],
    ["a character that is no byte", (writer: ByteWriter) => writer.latin1("€")],
  ] as const)("refuses %s, and writes nothing", (_, write) => {
    const writer = new ByteWriter();
    expect(kindOf(() => write(writer))).toBe("out-of-range");
    expect(writer.length).toBe(0);
  });
});
