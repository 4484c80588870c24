import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Stager, type StagerOptions } from "../../src/index.js";
import { pythonObstacle, runPython } from "../support/python.js";

/** Processes that import torch, one after the other, on a busy machine. */
const TIMEOUT_MS = 10 * 60_000;
const RANKS = 2;
const INDEX = "x.safetensors.index.json";
const reason = pythonObstacle();

/** Saves or looks; the numbers of a save are its rank, the ranks, the value of its tensors and what is to be kept (0: all). */
const PYTHON = `
import json, sys, podfs, torch
directory, action, *numbers = sys.argv[1:]
options = {"mode": "file", "ring_bytes": 4 << 20}
if action == "save":
    rank, ranks, value, keep = map(int, numbers)
    with podfs.checkpoint(directory, rank=rank, world_size=ranks, keep=keep or None, **options) as ck:
        weight = torch.full((1000,), value, dtype=torch.uint8)
        state = {f"layer.{rank}": weight, f"tied.{rank}": weight, "shared": torch.full((3,), value + rank, dtype=torch.uint8)}
        ck.save(state, "x" if keep == 0 else f"x{value}", overwrite=True, save_id=f"save {value}")
else:
    with podfs.checkpoint(directory, rank=0, world_size=1, **options) as ck:
        whole = ck.load("x")
        own = [ck.load("x", rank=rank)["shared"][0].item() for rank in range(int(numbers[0]))] if len(numbers) else []
        print(json.dumps({
            "values": sorted({int(tensor.min()) for name, tensor in whole.items() if name != "shared"}),
            "names": sorted(whole), "shared": whole["shared"][0].item(), "own": own,
            "states": sorted(f"{info.name} {info.state}" for info in ck.list()),
        }))
`;

interface Seen {
  /** Of the tensors that one rank has. */
  readonly values: readonly number[];
  readonly names: readonly string[];
  readonly shared: number;
  /** Of each rank's own file. */
  readonly own: readonly number[];
  readonly states: readonly string[];
}

describe.skipIf(reason !== undefined)(`Node and Python${reason === undefined ? "" : ` (${reason})`}`, () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "podfs-both-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  async function withStager<T>(options: StagerOptions, task: (stager: Stager) => Promise<T>): Promise<T> {
    const stager = await Stager.open(directory, { mode: "file", ringBytes: 4 << 20, ...options });
    try {
      return await task(stager);
    } finally {
      await stager.close();
    }
  }

  const languages = {
    async node(rank: number, ranks: number, value: number, keep = 0): Promise<void> {
      await withStager({ rank, ranks, ...(keep > 0 && { keep }) }, async (stager) => {
        const weight = { dtype: "U8", shape: [1000], data: new Uint8Array(1000).fill(value) } as const;
        const shared = { dtype: "U8", shape: [3], data: new Uint8Array(3).fill(value + rank) } as const;
        const state = { [`layer.${rank}`]: weight, [`tied.${rank}`]: weight, shared };
        const name = keep === 0 ? "x" : `x${value}`;
        await stager.save(state, name, { overwrite: true, saveId: `save ${value}` });
      });
    },
    async python(rank: number, ranks: number, value: number, keep = 0): Promise<void> {
      const { code, output } = await runPython(
        "-c",
        PYTHON,
        directory,
        "save",
        ...[rank, ranks, value, keep].map(String),
      );
      expect(code, output).toBe(0);
    },
  };
  type Language = keyof typeof languages;

  async function saveAll(language: Language, ranks: number, value: number, keep?: number): Promise<void> {
    for (let rank = 0; rank < ranks; rank++) await languages[language](rank, ranks, value, keep);
  }

  async function seenByPython(ranks: number): Promise<Seen> {
    const { code, output } = await runPython("-c", PYTHON, directory, "load", String(ranks));
    expect(code, output).toBe(0);
    return JSON.parse(output) as Seen;
  }

  async function seenByNode(ranks: number): Promise<Seen> {
    return withStager({}, async (stager) => {
      const { shared, ...rest } = await stager.load("x");
      const own: number[] = [];
      for (let rank = 0; rank < ranks; rank++) own.push((await stager.load("x", { rank })).shared?.data[0] ?? -1);
      return {
        values: [...new Set(Object.values(rest).map(({ data }) => Math.min(...data)))],
        names: [...Object.keys(rest), "shared"].sort(),
        shared: shared?.data[0] ?? -1,
        own,
        states: (await stager.list()).map(({ name, state }) => `${name} ${state}`).sort(),
      };
    });
  }

  const expected = (ranks: number, value: number): Seen => {
    const each = Array.from({ length: ranks }, (_, rank) => rank);
    return {
      values: [value],
      names: [...each.flatMap((rank) => [`layer.${rank}`, `tied.${rank}`]), "shared"].sort(),
      shared: value,
      own: each.map((rank) => value + rank),
      states: ["x complete"],
    };
  };

  it(
    "load, list and replace what the other has saved, of one rank and of several",
    async () => {
      const steps = [
        ["node", RANKS],
        ["python", RANKS],
        ["node", 1],
        ["python", RANKS],
        ["node", RANKS],
        ["python", 1],
      ] as const;
      for (const [step, [language, ranks]] of steps.entries()) {
        await saveAll(language, ranks, step + 1);
        expect(await readdir(directory)).toHaveLength(ranks === 1 ? 1 : ranks + 1);
        expect(await seenByNode(ranks)).toEqual(expected(ranks, step + 1));
        expect(await seenByPython(ranks)).toEqual(expected(ranks, step + 1));
      }
    },
    TIMEOUT_MS,
  );

  it(
    "may be ranks of one save",
    async () => {
      await languages.node(0, RANKS, 5);
      await languages.python(1, RANKS, 5);
      expect(await readdir(directory)).toContain(INDEX);
      expect(await seenByNode(RANKS)).toEqual(expected(RANKS, 5));
      await languages.python(0, RANKS, 6);
      await languages.node(1, RANKS, 6);
      expect(await seenByPython(RANKS)).toEqual(expected(RANKS, 6));
    },
    TIMEOUT_MS,
  );

  it(
    "keep as many as are wanted, whoever has saved them",
    async () => {
      await saveAll("python", RANKS, 1, 3);
      await saveAll("node", RANKS, 2, 3);
      await saveAll("python", 1, 3, 3);
      await saveAll("node", 1, 4, 3);
      const names = async (): Promise<string[]> => {
        return withStager({}, async (stager) => (await stager.list()).map(({ name }) => name));
      };
      expect(await names()).toEqual(["x4", "x3", "x2"]);
      await saveAll("python", RANKS, 5, 2);
      expect(await names()).toEqual(["x5", "x4"]);
    },
    TIMEOUT_MS,
  );
});
