import { mkdir, mkdtemp, readdir, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type CheckpointInfo,
  listCheckpoints,
  parseCheckpointPath,
  removeCheckpoint,
  verifyCheckpoint,
} from "../../../src/checkpoint/index.js";
import { writeIndex, writeRank, writeTwoRanks } from "./checkpoint-files.js";

const ID = "0123456789abcdef0123456789abcdef";
const OTHER = ID.replaceAll("0", "f");

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-checkpoints-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function only(): Promise<CheckpointInfo> {
  const all = await listCheckpoints(directory);
  expect(all).toHaveLength(1);
  return all[0]!;
}

describe("a directory's checkpoints", () => {
  test("are its files, newest first, by when podfs began to save them", async () => {
    await writeRank(directory, "step-1", { id: ID, timeMs: 1000 });
    await writeRank(directory, "step-3", { id: ID, timeMs: 3000 });
    await writeTwoRanks(directory, "step-2", OTHER, 2000);
    await writeRank(directory, "foreign");
    await utimes(join(directory, "foreign.safetensors"), 2.5, 2.5);
    const all = await listCheckpoints(directory);
    expect(all.map(({ name }) => name)).toEqual(["step-3", "foreign", "step-2", "step-1"]);
    expect(all.map(({ state }) => state)).toEqual(Array(4).fill("complete"));
    expect(all[1]).toMatchObject({ savedBy: "other", savedMs: 2500, tensors: 1, ranks: 1, sizeBytes: 4096 + 24 });
    expect(all[2]).toEqual({
      ...{ name: "step-2", sizeBytes: 2 * (4096 + 24), tensors: 2, ranks: 2, savedMs: 2000, savedBy: "podfs" },
      ...{ state: "complete", reason: "" },
      files: [
        "step-2.safetensors.index.json",
        "step-2-00001-of-00002.safetensors",
        "step-2-00002-of-00002.safetensors",
      ],
    });
  });

  test("are not other files, directories, nor what is still being written", async () => {
    await writeFile(join(directory, "notes.txt"), "x");
    await writeFile(join(directory, ".step-1.safetensors.podfs-00ff"), "x");
    await writeFile(join(directory, ".safetensors"), "x");
    await mkdir(join(directory, "logs"));
    expect(await listCheckpoints(directory)).toEqual([]);
  });

  test("count the names of tied tensors, unless what they stand for is gone", async () => {
    await writeRank(directory, "tied", { id: ID, aliases: { head: "weight", lost: "gone" } });
    expect((await only()).tensors).toBe(2);
  });

  test("that are cut, or none at all, are damaged", async () => {
    const cut = await writeRank(directory, "cut", { id: ID });
    await truncate(join(directory, cut), 4100);
    await writeFile(join(directory, "text.safetensors"), "something else entirely");
    await mkdir(join(directory, "folder.safetensors"));
    await symlink("nowhere", join(directory, "link.safetensors"));
    const byName = new Map((await listCheckpoints(directory)).map((info) => [info.name, info]));
    expect(byName.get("cut")).toMatchObject({ state: "damaged", sizeBytes: 4100 });
    expect(byName.get("cut")?.reason).toMatch(/^cut\.safetensors: it has 4100 of 4120 bytes$/);
    expect(byName.get("text")?.reason).toMatch(/does not begin with a safetensors header$/);
    expect(byName.get("folder")?.reason).toMatch(/folder\.safetensors is not a file$/);
    expect(byName.get("link")?.state).toBe("damaged");
  });

  test("of a directory that is none cannot be listed", async () => {
    await expect(listCheckpoints(join(directory, "absent"))).rejects.toMatchObject({ kind: "not-found" });
    const file = join(directory, await writeRank(directory, "x"));
    await expect(listCheckpoints(file)).rejects.toMatchObject({ kind: "not-directory" });
  });
});

describe("a checkpoint of several ranks", () => {
  test("is incomplete without its index, however many files there are", async () => {
    await writeRank(directory, "x", { rank: 0, ranks: 2, id: ID });
    expect(await only()).toMatchObject({ state: "incomplete", reason: "1 of 2 ranks", ranks: 2 });
    await writeRank(directory, "x", { rank: 1, ranks: 2, id: ID });
    expect(await only()).toMatchObject({ state: "incomplete", reason: "its index is missing" });
  });

  test("does not count files of another save", async () => {
    await writeRank(directory, "x", { rank: 0, ranks: 3, id: OTHER, timeMs: 1 });
    await writeRank(directory, "x", { rank: 1, ranks: 3, id: ID, timeMs: 2 });
    await writeRank(directory, "x", { rank: 2, ranks: 3, id: OTHER, timeMs: 1 });
    expect(await only()).toMatchObject({ state: "incomplete", reason: "1 of 3 ranks", savedMs: 2 });
    await writeTwoRanks(directory, "x", ID, 5);
    await rm(join(directory, "x-00002-of-00002.safetensors"));
    await writeRank(directory, "x", { rank: 1, ranks: 2, id: OTHER, tensors: { b: { dtype: "F32", shape: [2, 3] } } });
    const [newest] = await listCheckpoints(directory);
    expect(newest).toMatchObject({ state: "incomplete", reason: "1 of 2 ranks; the rest is of another save" });
  });

  test("needs every rank, also one that has nothing of its own", async () => {
    const first = await writeRank(directory, "x", { rank: 0, ranks: 2, id: ID });
    const second = await writeRank(directory, "x", { rank: 1, ranks: 2, id: ID });
    await writeIndex(directory, "x", { files: { weight: first }, id: ID });
    expect(await only()).toMatchObject({ state: "complete", ranks: 2 });
    await rm(join(directory, second));
    expect(await only()).toMatchObject({ state: "incomplete", reason: "1 of 2 ranks" });
  });

  test("has what its index says", async () => {
    await writeTwoRanks(directory, "x", ID);
    const a = "x-00001-of-00002.safetensors";
    await writeIndex(directory, "x", { files: { a, b: a }, id: ID });
    expect(await only()).toMatchObject({ state: "damaged", reason: `the index has tensor "b" in ${a}, which has not` });
    await writeFile(join(directory, "x.safetensors.index.json"), "{");
    expect((await listCheckpoints(directory)).map(({ state }) => state).sort()).toEqual(["damaged", "incomplete"]);
  });

  test("may be of other programs, with files of any name", async () => {
    const [a, b] = [await writeRank(directory, "one"), await writeRank(directory, "two")];
    await writeIndex(directory, "model", { files: { weight: a } });
    const model = (await listCheckpoints(directory)).find(({ name }) => name === "model");
    expect(model).toMatchObject({ state: "complete", savedBy: "other", ranks: 1 });
    await writeIndex(directory, "model", { files: { weight: b, bias: b } });
    expect((await listCheckpoints(directory)).find(({ name }) => name === "model")?.state).toBe("damaged");
  });
});

describe("verifying", () => {
  test("reads what is whole, and says so of nothing else", async () => {
    await writeTwoRanks(directory, "x", ID);
    expect(await verifyCheckpoint(directory, "x")).toMatchObject({ problems: [], checkpoint: { tensors: 2 } });
    await truncate(join(directory, "x-00002-of-00002.safetensors"), 4097);
    expect((await verifyCheckpoint(directory, "x")).problems).toEqual([expect.stringMatching(/4097 of 4120 bytes$/)]);
    await expect(verifyCheckpoint(directory, "y")).rejects.toMatchObject({ kind: "not-found" });
  });
});

describe("removing", () => {
  test("takes the index, the files of all ranks, and what older saves of the name have left", async () => {
    await writeTwoRanks(directory, "x", ID);
    await writeRank(directory, "x", { rank: 3, ranks: 8, id: OTHER });
    await writeRank(directory, "y", { id: ID });
    const removal = await removeCheckpoint(directory, "x");
    expect(removal.files).toHaveLength(4);
    expect(removal.files[0]).toBe("x.safetensors.index.json");
    expect(await readdir(directory)).toEqual(["y.safetensors"]);
    await expect(removeCheckpoint(directory, "x")).rejects.toMatchObject({ kind: "not-found" });
  });

  test("takes damaged ones", async () => {
    await truncate(join(directory, await writeRank(directory, "x")), 4100);
    await removeCheckpoint(directory, "x");
    expect(await readdir(directory)).toEqual([]);
  });

  test("leaves alone what never was one, and all that has its name", async () => {
    await writeTwoRanks(directory, "x", ID);
    await writeFile(join(directory, "x.safetensors"), "something else entirely");
    await expect(removeCheckpoint(directory, "x")).rejects.toMatchObject({ kind: "not-checkpoint" });
    await mkdir(join(directory, "z.safetensors"));
    await expect(removeCheckpoint(directory, "z")).rejects.toMatchObject({ kind: "not-checkpoint" });
    expect(await readdir(directory)).toHaveLength(5);
  });
});

describe("the path of a checkpoint", () => {
  test("may have the ending of its file, or of its index", () => {
    for (const ending of ["", ".safetensors", ".safetensors.index.json"]) {
      expect(parseCheckpointPath(`/ckpt/step-1${ending}`)).toEqual({ directory: "/ckpt", name: "step-1" });
    }
    expect(parseCheckpointPath("step-1.5")).toEqual({ directory: ".", name: "step-1.5" });
  });

  test.each(["/ckpt/.hidden", "x-00001-of-00008.safetensors", "/", "a\nb", `/${"x".repeat(250)}`])(
    "%j is none",
    (path) => {
      expect(() => parseCheckpointPath(path)).toThrow(expect.objectContaining({ kind: "invalid-name" }));
    },
  );
});
