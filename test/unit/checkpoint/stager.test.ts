import { closeSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Stager, type Tensor } from "../../../src/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { SeededRandom } from "../../support/random.js";
import { writeRank, writeTwoRanks } from "./checkpoint-files.js";

const ID = "0123456789abcdef0123456789abcdef";
/** Of two slots: everything larger goes round it. */
const SMALL_RING = 4 << 20;

const random = new SeededRandom(11);
let directory: string;
let stager: Stager;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-stager-"));
  stager = await Stager.open(directory, { mode: "file", ringBytes: SMALL_RING });
});
afterEach(async () => {
  await stager.close();
  await rm(directory, { recursive: true, force: true });
});

function bytes(length: number): Uint8Array {
  const data = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < data.length; i++) data[i] = random.below(2 ** 32);
  return new Uint8Array(data.buffer, 0, length);
}

function vector(length: number): Tensor & { readonly data: Uint8Array } {
  return { dtype: "U8", shape: [length], data: bytes(length) };
}

async function saved(tensors: Record<string, Tensor>, name: string, options = {}): Promise<void> {
  await (await stager.save(tensors, name, options)).committed;
}

describe("a checkpoint saved without a mount", () => {
  test("comes back bit by bit, whatever its tensors are", async () => {
    const large = vector(9_000_001);
    const base = bytes(64);
    const tensors: Record<string, Tensor> = {
      large,
      "layer.weight": { dtype: "F32", shape: [2, 3], data: Float32Array.from([1, -0, Number.NaN, 1e-40, 5, 6]) },
      scalar: { dtype: "I64", shape: [], data: BigInt64Array.from([-5n]) },
      none: { dtype: "BF16", shape: [0, 4], data: new Uint8Array(0) },
      view: { dtype: "F16", shape: [5], data: new Uint16Array(base.buffer, 6, 5) },
      packed: { dtype: "F4", shape: [3, 2], data: bytes(3) },
      ...Object.fromEntries((["BOOL", "F8_E4M3"] as const).map((dtype) => [dtype, { ...vector(7), dtype }])),
    };
    await saved(tensors, "all");
    const loaded = await stager.load("all");
    expect(Object.keys(loaded).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
      expect(loaded[name]).toMatchObject({ dtype, shape });
      const view = data as ArrayBufferView;
      expect(Buffer.from(view.buffer, view.byteOffset, view.byteLength).equals(loaded[name]!.data), name).toBe(true);
    }
  });

  test("may be changed as soon as save has resolved, though the ring is smaller", async () => {
    const tensor = vector(20 << 20);
    const before = Buffer.from(tensor.data);
    const save = await stager.save({ tensor }, "step-1");
    tensor.data.fill(0);
    await save.committed;
    expect(before.equals((await stager.load("step-1")).tensor!.data)).toBe(true);
  });

  test("is a file like that of any program, which says which save it is", async () => {
    await saved({ x: vector(5) }, "step-1", { metadata: { step: "1000" } });
    const file = await readFile(join(directory, "step-1.safetensors"));
    const length = Number(file.readBigUInt64LE());
    expect((8 + length) % 4096).toBe(0);
    const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<string, Record<string, string>>;
    expect(header.__metadata__).toEqual({
      ...{ step: "1000", "podfs.rank": "0", "podfs.ranks": "1" },
      "podfs.save": expect.stringMatching(/^[0-9a-f]{32}$/),
      "podfs.time": expect.stringMatching(/^\d{13}$/),
    });
    expect(header.x).toEqual({ dtype: "U8", shape: [5], data_offsets: [0, 5] });
    expect((await stat(join(directory, "step-1.safetensors"))).mode & 0o777).toBe(0o666 & ~process.umask());
    expect(await stager.list()).toEqual([
      expect.objectContaining({ name: "step-1", savedBy: "podfs", state: "complete" }),
    ]);
  });

  test("has tied tensors once, and gives them one memory again", async () => {
    const { data } = vector(1 << 20);
    const other = { dtype: "U8", shape: [1 << 10, 1 << 10], data } as const;
    await saved(
      { a: { dtype: "U8", shape: [1 << 20], data }, b: { dtype: "U8", shape: [1 << 20], data }, other },
      "tied",
    );
    const file = await stat(join(directory, "tied.safetensors"));
    expect(file.size).toBe(4096 + 2 * data.length);
    const loaded = await stager.load("tied");
    expect(loaded.a).toBe(loaded.b);
    expect(loaded.other!.shape).toEqual([1 << 10, 1 << 10]);
    expect(Buffer.from(data).equals(loaded.other!.data)).toBe(true);
  });

  test("is seen when it is whole, and not before", async () => {
    const x = vector(3 << 20);
    const save = await stager.save({ x }, "step-1");
    const seen = (await readdir(directory)).filter((name) => !name.startsWith("."));
    // Its writer may have been faster.
    for (const name of seen) expect(Buffer.compare((await stager.load(name)).x!.data, x.data)).toBe(0);
    await save.committed;
    await save.published;
    expect(await readdir(directory)).toEqual(["step-1.safetensors"]);
  });

  test("may be one of many at once", async () => {
    const tensors = Array.from({ length: 8 }, () => vector(3_000_000));
    await Promise.all(tensors.map((tensor, i) => stager.save({ tensor }, `step-${i}`)));
    await stager.wait({ durable: true });
    for (const [i, tensor] of tensors.entries()) {
      expect(Buffer.from(tensor.data).equals((await stager.load(`step-${i}`)).tensor!.data)).toBe(true);
    }
  });
});

describe("a name that exists", () => {
  test("is refused, and nothing of it changed", async () => {
    await saved({ x: vector(10) }, "step-1");
    const before = await readFile(join(directory, "step-1.safetensors"));
    await expect(stager.save({ x: vector(20) }, "step-1")).rejects.toMatchObject({ kind: "exists" });
    await writeTwoRanks(directory, "ranks", ID);
    await expect(stager.save({ x: vector(20) }, "ranks")).rejects.toMatchObject({ kind: "exists" });
    expect((await readFile(join(directory, "step-1.safetensors"))).equals(before)).toBe(true);
    expect((await readdir(directory)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("is refused at the commit to the second of two", async () => {
    const both = await Promise.all([stager.save({ x: vector(9) }, "x"), stager.save({ x: vector(9) }, "x")]);
    const outcomes = await Promise.allSettled(both.map(({ committed }) => committed));
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await expect(stager.wait()).rejects.toMatchObject({ kind: "exists" });
    await stager.wait();
    expect(await readdir(directory)).toEqual(["x.safetensors"]);
  });

  test("is replaced with overwrite, with all files of an older save", async () => {
    await writeTwoRanks(directory, "x", ID);
    const tensor = vector(10);
    await saved({ tensor }, "x", { overwrite: true });
    await saved({ tensor }, "x", { overwrite: true });
    expect(await readdir(directory)).toEqual(["x.safetensors"]);
  });
});

describe("what cannot be saved", () => {
  const f32 = (data: unknown, shape: unknown = [2]): Tensor => ({ dtype: "F32", shape, data }) as Tensor;

  test.each<[string, Record<string, Tensor>, RegExp]>([
    ["too few bytes", { x: f32(new Uint8Array(7)) }, /"x": F32 of shape \[2\] takes 8 bytes, it has 7/],
    ["an array", { x: f32([1, 2]) }, /"x": its data is neither a typed array nor device memory/],
    ["no shape", { x: f32(new Uint8Array(8), 2) }, /its shape is not an array/],
    ["a shape that is none", { x: f32(new Uint8Array(8), [-1]) }, /shape \[-1\] makes no sense/],
    ["an unknown dtype", { x: { ...f32(new Uint8Array(8)), dtype: "float32" as "F32" } }, /is no dtype of safetensors/],
    ["half a character", { "\ud800": f32(new Uint8Array(8)) }, /not valid Unicode/],
    ["the name of the metadata", { __metadata__: f32(new Uint8Array(8)) }, /cannot be a tensor's name/],
    ["device memory at 0", { x: f32({ device: 0, address: 0n }) }, /address on the device is not one/],
  ])("%s is said before anything is begun", async (_, tensors, message) => {
    const error: unknown = await stager.save(tensors, "x").catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      name: "CheckpointError",
      kind: "invalid-tensor",
      message: expect.stringMatching(message),
    });
    expect(await readdir(directory)).toEqual([]);
  });

  test("metadata that is not text, or podfs's", async () => {
    const save = (metadata: unknown) => stager.save({}, "x", { metadata: metadata as Record<string, string> });
    await expect(save({ step: 1 })).rejects.toThrow(/"step" is not text/);
    await expect(save({ "podfs.save": "x" })).rejects.toThrow(/keeps "podfs." for itself/);
  });

  test.each(["", "a/b", ".hidden", "x-00001-of-00002"])("under the name %j", async (name) => {
    await expect(stager.save({}, name)).rejects.toMatchObject({ kind: "invalid-name" });
  });

  test("over a directory, or into one that has gone", async () => {
    await mkdir(join(directory, "x.safetensors"));
    await expect(stager.save({}, "x", { overwrite: true })).rejects.toMatchObject({ kind: "is-directory" });
    await rm(directory, { recursive: true });
    await expect(stager.save({}, "y")).rejects.toMatchObject({ kind: "not-found" });
    await mkdir(directory);
  });
});

describe("loading", () => {
  test("takes some tensors, and files whose data is not aligned", async () => {
    const header = Buffer.from(
      '{"a":{"dtype":"U8","shape":[5000],"data_offsets":[0,5000]},"b":{"dtype":"U8","shape":[3],"data_offsets":[5000,5003]}}',
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const data = bytes(5003);
    await writeFile(join(directory, "foreign.safetensors"), Buffer.concat([length, header, data]));
    const { b, ...others } = await stager.load("foreign", { names: ["b"] });
    expect(others).toEqual({});
    expect(Buffer.from(b!.data)).toEqual(Buffer.from(data.subarray(5000)));
    expect(Buffer.from((await stager.load("foreign.safetensors")).a!.data)).toEqual(
      Buffer.from(data.subarray(0, 5000)),
    );
    await expect(stager.load("foreign", { names: ["a", "c"] })).rejects.toThrow(/it has no "c"$/);
  });

  test("into memory of the program needs the same names, dtypes and shapes", async () => {
    const x = vector(10);
    await saved({ x, y: vector(2) }, "step-1");
    const target = new Uint8Array(20);
    await stager.loadInto("step-1", { x: { ...x, data: target.subarray(5, 15) } });
    expect(Buffer.from(target.subarray(5, 15))).toEqual(Buffer.from(x.data));
    expect(target.subarray(15).every((byte) => byte === 0)).toBe(true);
    const wrong = { x: { dtype: "U8", shape: [2, 5], data: target.subarray(10) }, z: vector(1) } as const;
    await expect(stager.loadInto("step-1", wrong)).rejects.toMatchObject({
      kind: "mismatch",
      message: expect.stringMatching(/: "x" is U8 \[10\], not U8 \[2, 5\]; it has no "z"$/),
    });
  });

  test("puts the files of several ranks together, or takes one", async () => {
    await writeTwoRanks(directory, "x", ID);
    expect(Object.keys(await stager.load("x")).sort()).toEqual(["a", "b"]);
    expect(Object.keys(await stager.load("x", { rank: 1 }))).toEqual(["b"]);
    await expect(stager.load("x", { rank: 2 })).rejects.toMatchObject({ kind: "mismatch" });
    await rm(join(directory, "x-00002-of-00002.safetensors"));
    await expect(stager.load("x")).rejects.toMatchObject({ kind: "incomplete" });
    await rm(join(directory, "x.safetensors.index.json"));
    await expect(stager.load("x")).rejects.toThrow(/is incomplete: 1 of 2 ranks$/);
    await expect(stager.load("y")).rejects.toMatchObject({ kind: "not-found" });
  });

  test("takes the newer where a save of another number of ranks is being replaced", async () => {
    await writeTwoRanks(directory, "x", ID, 5);
    await writeRank(directory, "x", { id: ID.replaceAll("0", "f"), timeMs: 4 });
    expect(Object.keys(await stager.load("x")).sort()).toEqual(["a", "b"]);
    await writeRank(directory, "x", { id: ID.replaceAll("0", "f"), timeMs: 6 });
    expect(Object.keys(await stager.load("x"))).toEqual(["weight"]);
  });

  test("refuses what is damaged", async () => {
    await saved({ x: vector(3 << 20) }, "x");
    await truncate(join(directory, "x.safetensors"), 2 << 20);
    await expect(stager.load("x")).rejects.toMatchObject({ kind: "damaged" });
    await writeFile(join(directory, "text.safetensors"), "something else entirely");
    await expect(stager.load("text")).rejects.toMatchObject({ kind: "not-checkpoint" });
  });
});

describe("a stager", () => {
  test("needs a directory, and a mount where a mode does", async () => {
    await expect(Stager.open(join(directory, "absent"))).rejects.toMatchObject({ kind: "not-found" });
    await writeFile(join(directory, "file"), "");
    await expect(Stager.open(join(directory, "file"))).rejects.toMatchObject({ kind: "not-directory" });
    await expect(Stager.open(directory, { mode: "shm" })).rejects.toMatchObject({ kind: "no-mount" });
    await expect(Stager.open(directory, { ringBytes: 1000 })).rejects.toThrow(/ringBytes: 1000 is not/);
  });

  test("says why it does without a mount", async () => {
    const automatic = await Stager.open(directory);
    expect(automatic.mode).toBe("file");
    expect(automatic.reason).toMatch(/is not in a podfs mount that takes checkpoints$/);
    expect(stager.reason).toBe("");
    await automatic.close();
  });

  test("commits what is under way before it closes, and does nothing afterwards", async () => {
    const copied = await stager.save({ x: vector(5 << 20) }, "x");
    const saving = stager.save({ x: vector(30 << 20) }, "y");
    const loading = copied.committed.then(() => stager.load("x"));
    await copied.committed;
    await stager.close();
    await Promise.all([saving, loading]);
    expect((await readdir(directory)).sort()).toEqual(["x.safetensors", "y.safetensors"]);
    await expect(stager.save({}, "y")).rejects.toMatchObject({ kind: "closed" });
    await expect(stager.load("x")).rejects.toMatchObject({ kind: "closed" });
    await stager.close();
  });

  test("removes what dead writers have left, and not what others are writing, here or elsewhere", async () => {
    const names = ["dead", "locked", "fresh"].map((name) => `.${name}.safetensors.podfs-0011223344556677`);
    for (const name of names) {
      await writeFile(join(directory, name), "half");
      if (!name.includes("fresh")) await utimes(join(directory, name), 1, 1);
    }
    const lock = loadAddon().lockFile(join(directory, names[1]!));
    await saved({ x: vector(1) }, "own");
    closeSync(lock);
    expect((await readdir(directory)).sort()).toEqual([names[2], names[1], "own.safetensors"]);
  });

  test("removes checkpoints", async () => {
    await writeTwoRanks(directory, "x", ID);
    expect((await stager.remove("x")).files).toHaveLength(3);
    expect(await stager.list()).toEqual([]);
  });
});
