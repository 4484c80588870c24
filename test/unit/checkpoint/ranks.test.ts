import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OpenFiles } from "../../../src/checkpoint/checkpoint-file.js";
import { openCheckpoint } from "../../../src/checkpoint/open-checkpoint.js";
import { Stager, type StagerOptions, type Tensor } from "../../../src/index.js";
import { writeIndex, writeRank, writeTwoRanks } from "./checkpoint-files.js";

const INDEX = "x.safetensors.index.json";
/** The files of two ranks, with nothing to replace. */
const PLAIN = ["x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors"] as const;
/** The same of the save of this value that may replace another. */
const own = (value: number) =>
  PLAIN.map((file) => file.replace(".", `.${idOf(value).slice(0, 16)}.`)) as [string, string];
const idOf = (value: number) => `${value}`.padStart(16, "0").padEnd(32, "f");

let directory: string;
let stagers: Stager[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-ranks-"));
  stagers = [];
});
afterEach(async () => {
  await Promise.allSettled(stagers.map((stager) => stager.close()));
  await rm(directory, { recursive: true, force: true });
});

async function open(options: StagerOptions = {}): Promise<Stager> {
  const stager = await Stager.open(directory, { mode: "file", ringBytes: 4 << 20, ...options });
  stagers.push(stager);
  return stager;
}

function openRanks(ranks: number, options: StagerOptions = {}): Promise<Stager[]> {
  return Promise.all(Array.from({ length: ranks }, (_, rank) => open({ rank, ranks, ...options })));
}

const filled = (length: number, value: number): Tensor => {
  return { dtype: "U8", shape: [length], data: new Uint8Array(length).fill(value) };
};

/** What rank `rank` saves: something of its own, and what all have. */
function state(rank: number, value: number): Record<string, Tensor> {
  return { [`layer.${rank}`]: filled(5000, value), shared: filled(3, value + rank) };
}

async function saveAll(ranks: readonly Stager[], value: number, options: object = {}, name = "x"): Promise<void> {
  for (const [rank, stager] of ranks.entries()) {
    const save = await stager.save(state(rank, value), name, { saveId: idOf(value), ...options });
    await save.committed;
  }
}

const files = async (): Promise<string[]> => (await readdir(directory)).sort();
const states = async (): Promise<string[]> =>
  (await (await open()).list()).map(({ name, state }) => `${name} ${state}`);

async function loadedValue(ranks = 2, name = "x"): Promise<number> {
  const loaded = await (await open()).load(name);
  const values = Array.from({ length: ranks }, (_, rank) => loaded[`layer.${rank}`]?.data[4999]);
  expect(Object.keys(loaded)).toHaveLength(ranks + 1);
  expect(new Set(values).size).toBe(1);
  return values[0] ?? -1;
}

describe("a checkpoint of several ranks", () => {
  test("is one when the last file is whole", async () => {
    const [first, second] = await openRanks(2);
    await (await second!.save(state(1, 7), "x", { saveId: "a" })).committed;
    expect(await files()).toEqual([PLAIN[1]]);
    expect(await states()).toEqual(["x incomplete"]);
    await expect(first!.load("x")).rejects.toThrow(/is incomplete: 1 of 2 ranks$/);
    const save = await first!.save(state(0, 7), "x", { saveId: "a", metadata: { note: "mine" } });
    expect(save.path).toBe(join(directory, PLAIN[0]));
    await save.published;
    expect(await files()).toEqual([...PLAIN, INDEX].sort());
    expect(await states()).toEqual(["x complete"]);
    expect(await loadedValue()).toBe(7);
    const own = await first!.load("x", { rank: 1 });
    expect([Object.keys(own).sort(), own.shared!.data[0]]).toEqual([["layer.1", "shared"], 8]);
    expect((await first!.load("x")).shared!.data[0]).toBe(7);
  });

  test("has the index of Hugging Face, with the save it belongs to", async () => {
    const ranks = await openRanks(2);
    const tied = filled(10, 1);
    await (await ranks[0]!.save({ a: tied, b: tied }, "x", { saveId: idOf(1) })).committed;
    await (await ranks[1]!.save({ a: filled(1, 1), c: filled(2, 2) }, "x", { saveId: idOf(1) })).committed;
    const text = await readFile(join(directory, INDEX), "utf8");
    expect(JSON.parse(text)).toEqual({
      metadata: {
        ...{ total_size: 13, "podfs.ranks": "2", "podfs.save": idOf(1), "podfs.set": "1" },
        "podfs.time": expect.stringMatching(/^\d{13}$/),
      },
      weight_map: { a: PLAIN[0], b: PLAIN[0], c: PLAIN[1] },
    });
    expect(Object.keys(await ranks[0]!.load("x"))).toEqual(["a", "b", "c"]);
  });

  test("may be saved by all at once, again and again", async () => {
    const ranks = await openRanks(4);
    for (const value of [1, 2, 3]) {
      const saves = await Promise.all(
        ranks.map((stager, rank) => stager.save(state(rank, value), "x", { saveId: `job ${value}`, overwrite: true })),
      );
      await Promise.all(saves.map(({ committed }) => committed));
      expect(await loadedValue(4)).toBe(value);
      expect(await files()).toHaveLength(5);
    }
  });

  test("never has files of two saves", async () => {
    const [first, second] = await openRanks(2);
    await (await first!.save(state(0, 1), "x", { saveId: "killed in the middle" })).committed;
    await (await second!.save(state(1, 2), "x", { saveId: "the next attempt" })).committed;
    expect(await states()).toEqual(["x incomplete"]);
    await (await first!.save(state(0, 2), "x", { saveId: "the next attempt" })).committed;
    expect(await loadedValue()).toBe(2);
  });

  test("may be saved again before it has ended, by ranks that are not at the same step", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 1);
    const save = (rank: number, value: number) =>
      ranks[rank]!.save(state(rank, value), "x", { saveId: idOf(value), overwrite: true });
    const ahead = await Promise.all([save(0, 2), save(0, 3), save(0, 4)]);
    await Promise.all(ahead.map(({ committed }) => committed));
    expect(await loadedValue()).toBe(1);
    const behind = await Promise.all([save(1, 2), save(1, 3)]);
    await Promise.all(behind.map(({ committed }) => committed));
    expect(await loadedValue()).toBe(3);
    await (await save(1, 4)).committed;
    expect(await loadedValue()).toBe(4);
    expect(await files()).toEqual([...own(4), INDEX].sort());
  });
});

describe("a checkpoint of several ranks that is there", () => {
  test("is refused without overwrite, and not touched", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 1);
    const before = await Promise.all((await files()).map((file) => readFile(join(directory, file), "hex")));
    await expect(saveAll(ranks, 2)).rejects.toMatchObject({ kind: "exists" });
    await expect((await open()).save({}, "x")).rejects.toMatchObject({ kind: "exists" });
    await expect(saveAll(await openRanks(3), 2)).rejects.toMatchObject({ kind: "exists" });
    expect(await Promise.all((await files()).map((file) => readFile(join(directory, file), "hex")))).toEqual(before);
  });

  test("is refused also where it has become one since the save began", async () => {
    const ranks = await openRanks(2);
    await (await ranks[0]!.save(state(0, 1), "x", { saveId: idOf(1) })).committed;
    const save = (value: number) => ranks[1]!.save(state(1, value), "x", { saveId: idOf(value) });
    const both = await Promise.all([save(1), save(2)]);
    const outcomes = await Promise.allSettled(both.map(({ committed }) => committed));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(await loadedValue()).toBe(1);
  });

  test("is whole until the new one is", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 1);
    let before: readonly string[] = PLAIN;
    for (const value of [2, 3]) {
      const options = { saveId: idOf(value), overwrite: true };
      await (await ranks[0]!.save(state(0, value), "x", options)).committed;
      expect(await loadedValue()).toBe(value - 1);
      expect(await files()).toEqual([...before, own(value)[0], INDEX].sort());
      expect((await states()).sort()).toEqual(["x complete", "x incomplete"]);
      await (await ranks[1]!.save(state(1, value), "x", options)).committed;
      expect(await loadedValue()).toBe(value);
      expect(await files()).toEqual([...own(value), INDEX].sort());
      expect(Object.keys(await ranks[0]!.load("x", { rank: 1 }))).toEqual(["layer.1", "shared"]);
      before = own(value);
    }
  });

  test("is replaced by one of another number of ranks, and back", async () => {
    const [two, three, one] = [await openRanks(2), await openRanks(3), await openRanks(1)];
    await saveAll(two, 1);
    await saveAll(three, 2, { overwrite: true });
    expect(await loadedValue(3)).toBe(2);
    expect(await files()).toHaveLength(4);
    await saveAll(one, 3, { overwrite: true });
    expect(await files()).toEqual(["x.safetensors"]);
    expect(await loadedValue(1)).toBe(3);
    await saveAll(two, 4, { overwrite: true });
    expect(await files()).toEqual([...own(4), INDEX].sort());
    expect(await loadedValue()).toBe(4);
  });

  test("takes what killed saves have left with it", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 1);
    await (await ranks[0]!.save(state(0, 2), "x", { saveId: idOf(2), overwrite: true })).committed;
    await saveAll([await open()], 3, { overwrite: true });
    expect(await files()).toEqual(["x.safetensors"]);
    await rm(join(directory, "x.safetensors"));
    // Leftovers of podfs go also without overwrite; files of other programs do not.
    await writeRank(directory, "x", { rank: 0, ranks: 3, id: "f".repeat(32) });
    const foreign = await writeRank(directory, "x", { rank: 0, ranks: 4 });
    await saveAll(ranks, 4);
    expect(await files()).toEqual([...PLAIN, foreign, INDEX].sort());
  });

  test("may be another program's, or have an index that nobody can read", async () => {
    const ranks = await openRanks(2);
    for (const file of PLAIN) await writeFile(join(directory, file), "part");
    await writeIndex(directory, "x", { files: { a: PLAIN[0] } });
    await saveAll(ranks, 1, { overwrite: true });
    // The index has named the first only.
    expect(await files()).toEqual([...own(1), PLAIN[1], INDEX].sort());
    await writeFile(join(directory, INDEX), "{");
    await saveAll(ranks, 2, { overwrite: true });
    expect(await files()).toEqual([...own(2), PLAIN[1], INDEX].sort());
    expect(await loadedValue()).toBe(2);
  });

  test("can be loaded at every moment of being replaced", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 0);
    let done = false;
    const writing = (async () => {
      for (let value = 1; value <= 25; value++) await saveAll(ranks, value, { overwrite: true });
    })().finally(() => {
      done = true;
    });
    const reader = await open();
    const seen: number[] = [];
    while (!done) {
      const loaded = await reader.load("x");
      expect(loaded["layer.0"]!.data[0]).toBe(loaded["layer.1"]!.data[4999]);
      seen.push(loaded["layer.0"]!.data[0]!);
      const [listed] = await reader.list();
      expect(listed?.name).toBe("x");
    }
    await writing;
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(await loadedValue()).toBe(25);
  });

  test("stays readable to its end for those who have begun to load it", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 1);
    const kept = new OpenFiles();
    const found = await openCheckpoint({ directory, name: "x" }, kept);
    await saveAll(ranks, 2, { overwrite: true });
    for (const { file, place } of found.values()) {
      const bytes = await readFile(file.readPath);
      expect(bytes.length).toBe(file.sizeBytes);
      expect(bytes[place.offset]).toBe(1);
    }
    await kept.close();
    expect(await loadedValue()).toBe(2);
  });

  test("can be removed, with all files of its name", async () => {
    const ranks = await openRanks(2);
    await saveAll(ranks, 1);
    await (await ranks[0]!.save(state(0, 2), "x", { saveId: idOf(2), overwrite: true })).committed;
    expect((await ranks[0]!.remove("x")).files).toEqual([INDEX, own(2)[0], ...PLAIN]);
    expect(await files()).toEqual([]);
  });
});

describe("what makes no sense", () => {
  test.each<[StagerOptions, RegExp]>([
    [{ rank: 2, ranks: 2 }, /^rank 2 of 2: ranks are counted from 0$/],
    [{ rank: -1, ranks: 2 }, /^rank -1 of 2/],
    [{ rank: 0.5, ranks: 2 }, /^rank 0.5 of 2/],
    [{ rank: 0, ranks: 0 }, /^rank 0 of 0/],
    [{ rank: 1 }, /^rank and ranks go together/],
    [{ ranks: 2 }, /^rank and ranks go together/],
    [{ keep: 0 }, /^keep: 0: at least the checkpoint that is being saved is kept$/],
    [{ keep: 1.5 }, /^keep: 1.5/],
  ])("%j is said when the directory is opened", async (options, message) => {
    await expect(open(options)).rejects.toMatchObject({ name: "UserError", message: expect.stringMatching(message) });
  });

  test("ranks that cannot agree are told what to do", async () => {
    const [first] = await openRanks(2);
    await expect(first!.save({}, "x")).rejects.toThrow(/^saveId is needed with several ranks: a text that is the same/);
    await expect(first!.save({}, "x", { saveId: "" })).rejects.toMatchObject({ name: "UserError" });
    expect(await files()).toEqual([]);
  });

  test.each(["x-00001-of-00002", "x-00001-of-00002.0123456789abcdef", "x-00001-of-00002.2.safetensors"])(
    "the name %j",
    async (name) => {
      await expect((await open()).save({}, name)).rejects.toMatchObject({ kind: "invalid-name" });
    },
  );

  test("a name too long for the files of ranks is refused before anything is copied", async () => {
    const [first] = await openRanks(2);
    const long = "x".repeat(212);
    await expect(first!.save({}, long, { saveId: "a", overwrite: true })).rejects.toMatchObject({
      kind: "invalid-name",
    });
    await (await first!.save({}, long, { saveId: "a" })).committed;
  });

  test("files that are missing, cut or of another save", async () => {
    await writeTwoRanks(directory, "x", "a".repeat(32));
    await writeRank(directory, "x", { rank: 1, ranks: 2, id: "b".repeat(32), tensors: {} });
    const stager = await open();
    await expect(stager.load("x")).rejects.toThrow(/1 of 2 ranks; the rest is of another save$/);
    await writeFile(join(directory, PLAIN[1]), "");
    await expect(stager.load("x")).rejects.toMatchObject({ kind: "damaged" });
    await rm(join(directory, PLAIN[1]));
    await expect(stager.load("x")).rejects.toMatchObject({ kind: "incomplete" });
  });
});
