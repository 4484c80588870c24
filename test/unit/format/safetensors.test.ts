import { describe, expect, test } from "vitest";
import {
  parseSafetensors,
  parseSafetensorsIndex,
  planSafetensors,
  SAFETENSORS_HEADER_BYTES_MAX,
  type SafetensorsDtype,
  safetensorsDataOffset,
  type TensorType,
  tensorSizeBytes,
} from "../../../src/format/index.js";

const DTYPES: readonly (readonly [SafetensorsDtype, number])[] = [
  ...(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"] as const).map((dtype) => [dtype, 8] as const),
  ...(["I16", "U16", "F16", "BF16"] as const).map((dtype) => [dtype, 16] as const),
  ...(["I32", "U32", "F32"] as const).map((dtype) => [dtype, 32] as const),
  ...(["C64", "F64", "I64", "U64"] as const).map((dtype) => [dtype, 64] as const),
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
];

function plan(tensors: Record<string, TensorType>, metadata: Record<string, string> = {}) {
  return planSafetensors(new Map(Object.entries(tensors)), new Map(Object.entries(metadata)));
}

/** A file with this text as its header. */
function withHeader(text: string | Uint8Array): Uint8Array {
  const body = Buffer.from(text as string);
  const header = Buffer.alloc(8 + body.length);
  header.writeBigUInt64LE(BigInt(body.length));
  body.copy(header, 8);
  return header;
}

function parse(header: Uint8Array, dataBytes: number) {
  const size = header.length + dataBytes;
  return parseSafetensors(header.subarray(0, safetensorsDataOffset(header.subarray(0, 9), size)), size);
}

const HALVES =
  '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}';

describe("a layout", () => {
  test("is what a reader reads", () => {
    const layout = plan(
      { b: { dtype: "F32", shape: [2, 3] }, a: { dtype: "BF16", shape: [5] }, none: { dtype: "F64", shape: [0, 7] } },
      { step: "1000", ä: "ö\n" },
    );
    const file = parse(layout.header, layout.sizeBytes - layout.dataOffset);
    const { header: _, ...same } = layout;
    expect({ ...file, metadata: new Map(file.metadata) }).toEqual(same);
  });

  test("has large elements first, then goes by name, and begins at a block", () => {
    const layout = plan({
      z: { dtype: "F32", shape: [] },
      b: { dtype: "U8", shape: [3] },
      a: { dtype: "F32", shape: [1] },
      c: { dtype: "F64", shape: [1] },
    });
    expect(layout.dataOffset % 4096).toBe(0);
    expect(layout.tensors.map(({ name, offset }) => [name, offset - layout.dataOffset])).toEqual([
      ["c", 0],
      ["a", 8],
      ["z", 12],
      ["b", 16],
    ]);
    expect(layout.sizeBytes).toBe(layout.dataOffset + 19);
  });

  test("has the same bytes for the same tensors, whatever their order", () => {
    const [a, b] = [{ dtype: "I8", shape: [1] } as const, { dtype: "I8", shape: [2] } as const];
    expect(plan({ a, b }).header).toEqual(plan({ b, a }).header);
  });

  test("of nothing is a file", () => {
    const layout = plan({});
    expect(parse(layout.header, 0)).toMatchObject({ tensors: [], sizeBytes: 4096 });
  });

  test("takes any name, also those that objects have", () => {
    const names = ["__proto__", "constructor", "a.b", 'quo"te', "back\\slash\\", "1", ""];
    const layout = plan(Object.fromEntries(names.map((name) => [name, { dtype: "U8", shape: [1] }])));
    const file = parse(layout.header, names.length);
    expect(new Set(file.tensors.map(({ name }) => name))).toEqual(new Set(names));
  });

  test("refuses what readers would not take", () => {
    expect(() => plan({ __metadata__: { dtype: "U8", shape: [1] } })).toThrow(/cannot be a tensor's name/);
    expect(() => plan({}, { long: "x".repeat(SAFETENSORS_HEADER_BYTES_MAX) })).toThrow(/more than the/);
  });
});

describe("a tensor's size", () => {
  test.each(DTYPES)("of %s counts elements of %d bits", (dtype, bits) => {
    expect(tensorSizeBytes("x", { dtype, shape: [8, 3] })).toBe(bits * 3);
    expect(tensorSizeBytes("x", { dtype, shape: [4, 0] })).toBe(0);
    if (bits % 8 === 0) expect(tensorSizeBytes("x", { dtype, shape: [] })).toBe(bits / 8);
    else expect(() => tensorSizeBytes("x", { dtype, shape: [] })).toThrow(/do not fill whole bytes/);
  });

  test.each([[[-1]], [[1.5]], [[2 ** 53]], [[2 ** 30, 2 ** 30]], [[Number.NaN]]])("of shape %j is none", (shape) => {
    expect(() => tensorSizeBytes("x", { dtype: "F32", shape })).toThrow(/tensor "x": shape .* (no sense|too large)/);
  });
});

describe("a header", () => {
  test("may be padded, unaligned, in any order, and know more than podfs", () => {
    const text =
      '{ "b" : {"shape":[2,0],"dtype":"F32","data_offsets":[3,3],"more":{"x":1}},\n' +
      '"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"__metadata__":{"format":"pt"}}   ';
    const file = parse(withHeader(text), 3);
    expect(file.tensors.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(file.metadata).toEqual(new Map([["format", "pt"]]));
  });

  test.each([
    ["bytes after the last tensor", HALVES, 10, /^1 bytes follow its last tensor/],
    ["too few bytes", HALVES, 5, /^it has \d+ of \d+ bytes/],
    ["a hole", '{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', 2, /hole before tensor "a"/],
    ["an overlap", HALVES.replace("[8,9]", "[7,8]"), 8, /another tensor lies within tensor "b"/],
    ["offsets that do not fit the shape", HALVES.replace("[8,9]", "[8,10]"), 10, /has 2 bytes where .* take 1/],
    ["offsets that run backwards", HALVES.replace("[8,9]", "[9,8]"), 9, /data_offsets are no range/],
    ["three offsets", HALVES.replace("[8,9]", "[8,9,9]"), 9, /data_offsets are no range/],
    ["an unknown dtype", HALVES.replace("U8", "U7"), 9, /unknown dtype "U7"/],
    ["a dtype that only objects have", HALVES.replace("U8", "toString"), 9, /unknown dtype/],
    ["a negative length", HALVES.replace("[2]", "[-2]"), 9, /shape is not a list of whole numbers/],
    ["no dtype", '{"a":{"shape":[],"data_offsets":[0,0]}}', 0, /dtype is not a text/],
    ["a tensor that is none", '{"a":1}', 0, /a is not a JSON object/],
    ["metadata that is not text", '{"__metadata__":{"a":1}}', 0, /a is not a text/],
    ["a tensor twice", `${HALVES.slice(0, -1)},"a":{"dtype":"U8","shape":[0],"data_offsets":[9,9]}}`, 9, /"a" twice/],
    ["a key twice, written differently", '{"__metadata__":{"a":"1","\\u0061":"2"}}', 0, /"a" twice/],
    ["a key twice, with quotes", '{"__metadata__":{"\\\\\\"":"\\"","\\\\\\"" :"2"}}', 0, /twice/],
    ["no JSON", "{nothing}", 0, /is not JSON/],
    ["text after the object", "{}{}", 0, /is not JSON/],
  ])("with %s is refused", (_, text, dataBytes, message) => {
    expect(() => parse(withHeader(text), dataBytes)).toThrow(message);
  });

  test("whose text merely looks like keys that repeat is fine", () => {
    const metadata = { a: '"a":"b","a":', b: "\\", c: '{"a":1}', d: "}" };
    expect(Object.fromEntries(parse(plan({}, metadata).header, 0).metadata)).toEqual(metadata);
  });

  test("that is not UTF-8 is refused", () => {
    const header = withHeader(Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
    expect(() => parse(header, 0)).toThrow(/not UTF-8/);
  });

  test.each([
    ["nothing", new Uint8Array(0), "truncated"],
    ["only its length", withHeader(""), "truncated"],
    ["text", Buffer.from("this is not a checkpoint"), "bad-magic"],
    ["another format", withHeader("[1, 2]"), "bad-magic"],
    ["a header that is too large", Buffer.from([1, 0, 0, 0, 0, 1, 0, 0, 0x7b]), "bad-magic"],
    ["a part of its header", withHeader(HALVES).subarray(0, 40), "truncated"],
  ])("that is %s is refused as such", (_, bytes, kind) => {
    expect(() => parse(bytes, 0)).toThrow(expect.objectContaining({ kind }));
  });
});

describe("an index", () => {
  test("has the file of each tensor", () => {
    const index = parseSafetensorsIndex(
      '{"metadata":{"total_size":9,"podfs.ranks":"2"},"weight_map":{"a":"x-1.safetensors","b":"x-2.safetensors"}}',
    );
    expect(index.files).toEqual(new Map(Object.entries({ a: "x-1.safetensors", b: "x-2.safetensors" })));
    expect(index.metadata).toEqual(new Map([["podfs.ranks", "2"]]));
    expect(parseSafetensorsIndex('{"weight_map":{}}').files.size).toBe(0);
  });

  test.each(["../x.safetensors", "/x.safetensors", ".x.safetensors", "x", "a/x.safetensors"])(
    "that names %s leads elsewhere, and is refused",
    (file) => {
      expect(() => parseSafetensorsIndex(JSON.stringify({ weight_map: { a: file } }))).toThrow(/no file beside it/);
    },
  );

  test.each(["[]", "{}", "nothing", '{"weight_map":{"a":1}}', '{"weight_map":{},"metadata":1}'])(
    "that is %s is refused",
    (text) => {
      expect(() => parseSafetensorsIndex(text)).toThrow(expect.objectContaining({ kind: "malformed" }));
    },
  );
});
