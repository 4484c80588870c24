import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Stager, type StagerOptions } from "../../../src/index.js";
import { writeIndex, writeRank, writeTwoRanks } from "./checkpoint-files.js";

const ID = "0123456789abcdef0123456789abcdef";
const DAY_MS = 24 * 3_600_000;
const TENSORS = { x: { dtype: "U8", shape: [3], data: new Uint8Array(3) } } as const;

let directory: string;
let stagers: Stager[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-keep-"));
  stagers = [];
});
afterEach(async () => {
  await Promise.allSettled(stagers.map((stager) => stager.close()));
  await rm(directory, { recursive: true, force: true });
});

async function open(options: StagerOptions): Promise<Stager> {
  const stager = await Stager.open(directory, { mode: "file", ringBytes: 4 << 20, ...options });
  stagers.push(stager);
  return stager;
}

const names = async (): Promise<string[]> => (await (await open({})).list()).map(({ name }) => name).sort();

async function age(...files: readonly string[]): Promise<void> {
  const old = (Date.now() - 2 * DAY_MS) / 1000;
  for (const file of files) await utimes(join(directory, file), old, old);
}

describe("keep", () => {
  test("leaves so many checkpoints, the newest, and the one that is being saved", async () => {
    const stager = await open({ keep: 2 });
    for (const [step, timeMs] of [
      ["a", 30],
      ["b", 20],
      ["c", 10],
    ] as const) {
      await writeRank(directory, step, { id: ID, timeMs });
    }
    await (await stager.save(TENSORS, "step-1")).committed;
    expect(await names()).toEqual(["a", "step-1"]);
    await (await stager.save(TENSORS, "step-2")).committed;
    expect(await names()).toEqual(["step-1", "step-2"]);
    await (await stager.save(TENSORS, "step-2", { overwrite: true })).committed;
    expect(await names()).toEqual(["step-1", "step-2"]);
  });

  test("counts saves that run at once", async () => {
    const stager = await open({ keep: 1 });
    await Promise.all(Array.from({ length: 6 }, (_, step) => stager.save(TENSORS, `step-${step}`)));
    await stager.wait();
    await (await stager.save(TENSORS, "last")).committed;
    expect(await names()).toEqual(["last"]);
  });

  test("takes all files of those of several ranks, whatever their names", async () => {
    await writeTwoRanks(directory, "old", ID);
    const [first, second] = [await open({ keep: 1, rank: 0, ranks: 2 }), await open({ keep: 1, rank: 1, ranks: 2 })];
    const save = async (name: string, saveId: string): Promise<void> => {
      for (const stager of [first, second]) {
        await (await stager.save(TENSORS, name, { saveId, overwrite: true })).committed;
      }
    };
    await save("x", "1");
    expect(await names()).toEqual(["x"]);
    await save("x", "2");
    expect(await readdir(directory)).toHaveLength(3);
    await save("y", "3");
    expect(await names()).toEqual(["y"]);
    expect(await readdir(directory)).toHaveLength(3);
  });

  test("spares what podfs did not write, and files that are not of a series", async () => {
    await writeRank(directory, "foreign");
    const shard = await writeRank(directory, "model", { ranks: 2 });
    await writeIndex(directory, "model", { files: { weight: shard } });
    await writeRank(directory, "own", { id: ID, ofSeries: false });
    await writeRank(directory, "old", { id: ID });
    await (await (await open({ keep: 1 })).save(TENSORS, "x")).committed;
    expect(await names()).toEqual(["foreign", "model", "own", "x"]);
  });

  test("takes what abandoned saves have left, once nobody can be writing it any more", async () => {
    await writeRank(directory, "young", { ranks: 2, id: ID, timeMs: 5 });
    await age(await writeRank(directory, "abandoned", { ranks: 2, id: ID, timeMs: 5 }));
    const later = Date.now() + DAY_MS;
    await age(await writeRank(directory, "later", { ranks: 2, id: ID, timeMs: later }));
    await writeRank(directory, "staying", { id: ID, timeMs: 10 });
    await (await (await open({ keep: 2 })).save(TENSORS, "x")).committed;
    expect(await names()).toEqual(["later", "staying", "x", "young"]);
  });

  test("takes nothing where a save fails", async () => {
    await writeRank(directory, "old", { id: ID });
    const stager = await open({ keep: 1 });
    await expect(stager.save(TENSORS, "old")).rejects.toMatchObject({ kind: "exists" });
    const outcomes = await Promise.all([stager.save(TENSORS, "x"), stager.save(TENSORS, "x")]);
    await Promise.allSettled(outcomes.map(({ committed }) => committed));
    await expect(stager.wait()).rejects.toMatchObject({ kind: "exists" });
    expect(await names()).toEqual(["x"]);
  });
});
