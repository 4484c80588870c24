import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { renderCheckpoints } from "../../../src/cli/render-checkpoints.js";
import { writeRank, writeTwoRanks } from "../checkpoint/checkpoint-files.js";
import { run } from "./run.js";

const ID = "0123456789abcdef0123456789abcdef";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-checkpoints-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("podfs checkpoint ls", () => {
  test("is a table", () => {
    const savedMs = new Date(2026, 0, 31, 4, 5, 9).getTime();
    const whole = {
      files: [],
      sizeBytes: 65 * 2 ** 30,
      tensors: 1234,
      ranks: 8,
      savedMs,
      state: "complete",
      reason: "",
    };
    expect(
      renderCheckpoints([
        { ...whole, name: "step-1000", savedBy: "podfs", state: "complete" },
        { ...whole, name: "base", ranks: 1, sizeBytes: 24, savedBy: "other", state: "complete" },
        { ...whole, name: "step-900", savedBy: "podfs", state: "incomplete", reason: "7 of 8 ranks" },
      ]),
    ).toMatchInlineSnapshot(`
      "NAME         SIZE  TENSORS  RANKS  SAVED                STATE
      step-1000  65 GiB    1,234      8  2026-01-31 04:05:09  complete
      base         24 B    1,234      1  2026-01-31 04:05:09  complete, not saved by podfs
      step-900   65 GiB    1,234      8  2026-01-31 04:05:09  incomplete: 7 of 8 ranks
      "
    `);
  });

  test("says so when there are none, and what is wrong when there is no directory", async () => {
    expect(await run("checkpoint", "ls", directory)).toEqual({
      ...{ exitCode: 0, stdout: "no checkpoints here\n", stderr: "" },
    });
    const { exitCode, stderr } = await run("checkpoint", "ls", join(directory, "absent"));
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^podfs: \/.*absent: there is no such file or directory\n$/);
  });

  test("prints JSON", async () => {
    await writeTwoRanks(directory, "x", ID, 7);
    const { stdout } = await run("checkpoint", "ls", "--json", directory);
    expect(JSON.parse(stdout)).toEqual([
      expect.objectContaining({ name: "x", ranks: 2, savedMs: 7, state: "complete" }),
    ]);
  });
});

describe("podfs checkpoint verify", () => {
  test("says of each path whether it is whole, and fails if one is not", async () => {
    await writeTwoRanks(directory, "good", ID);
    const good = join(directory, "good");
    expect(await run("checkpoint", "verify", good)).toEqual({
      ...{ exitCode: 0, stderr: "" },
      stdout: `${good}: whole, 2 tensors in 2 files, 8.05 KiB\n`,
    });
    const cut = join(directory, await writeRank(directory, "cut"));
    await truncate(cut, 4100);
    const { exitCode, stdout } = await run("checkpoint", "verify", cut, join(directory, "absent"), good);
    expect(exitCode).toBe(1);
    expect(stdout.split("\n")).toEqual([
      `${cut}: cut.safetensors: it has 4100 of 4120 bytes`,
      `${join(directory, "absent")}: there is no checkpoint absent in ${directory}`,
      expect.stringMatching(/good: whole/),
      "",
    ]);
  });

  test("looks at all in a directory; at the checkpoint, where a directory has the same name", async () => {
    await writeTwoRanks(directory, "two", ID);
    await writeRank(directory, "one");
    const { exitCode, stdout } = await run("checkpoint", "verify", directory);
    expect(exitCode).toBe(0);
    const lines = stdout.trim().split("\n");
    expect(lines.map((line) => line.split(":")[0]).sort()).toEqual([join(directory, "one"), join(directory, "two")]);
    await mkdir(join(directory, "one"));
    const one = join(directory, "one");
    expect((await run("checkpoint", "verify", one)).stdout).toMatch(/one: whole, 1 tensor,/);
    await rm(join(directory, "one.safetensors"));
    expect(await run("checkpoint", "verify", one)).toMatchObject({
      exitCode: 1,
      stdout: `${one}: there are no checkpoints in ${one}\n`,
    });
  });
});

describe("podfs checkpoint rm", () => {
  test("removes all files", async () => {
    await writeTwoRanks(directory, "x", ID);
    await writeRank(directory, "y");
    const { exitCode, stdout } = await run("checkpoint", "rm", join(directory, "x"), join(directory, "y.safetensors"));
    expect(exitCode).toBe(0);
    expect(stdout).toBe("removed x: 3 files, 8.05 KiB\nremoved y: 1 file, 4.02 KiB\n");
    expect(await readdir(directory)).toEqual([]);
  });

  test.each([
    ["absent", /there is no checkpoint absent in/],
    ["text", /text\.safetensors: it does not begin with a safetensors header/],
    ["x-00001-of-00002.safetensors", /looks like the file of one rank/],
  ])("refuses %s in one line", async (name, message) => {
    await writeFile(join(directory, "text.safetensors"), "something else entirely");
    const { exitCode, stdout, stderr } = await run("checkpoint", "rm", join(directory, name));
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(await readdir(directory)).toEqual(["text.safetensors"]);
  });
});

test("podfs checkpoint alone is a usage error that says what there is", async () => {
  const { exitCode, stderr } = await run("checkpoint");
  expect(exitCode).toBe(2);
  for (const command of ["ls", "verify", "rm"]) expect(stderr).toContain(command);
  expect((await run("checkpoint", "remove", "x")).exitCode).toBe(2);
});
