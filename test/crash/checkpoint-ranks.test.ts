import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Stager, type StagerOptions } from "../../src/index.js";
import { mountObstacle, PodfsMachine } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";

const PROGRAM = resolve(import.meta.dirname, "checkpoint-rank.mjs");
/** Some dozens of processes, one after the other. */
const TEST_TIMEOUT_MS = 600_000;
/** More than a save of three ranks changes. */
const CHANGES_MAX = 20;

/** The one value that all tensors of the checkpoint `x` have, and how many there are. */
async function loaded(directory: string): Promise<{ readonly value: number; readonly ranks: number }> {
  const stager = await Stager.open(directory, { mode: "file" });
  try {
    const tensors = Object.values(await stager.load("x"));
    const values = new Set(tensors.flatMap(({ data }) => [data[0], data.at(-1)]));
    expect(values.size).toBe(1);
    const [value = -1] = values;
    return { value, ranks: tensors.length };
  } finally {
    await stager.close();
  }
}

describe("a program of several ranks that is killed while it replaces a checkpoint", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "podfs-rank-kill-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  /** @returns whether it has come to its end. */
  async function save(rank: number, { ranks, value, killAt = 0 }: Step): Promise<boolean> {
    const args = [directory, rank, ranks, value, killAt].map(String);
    const program = spawn(process.execPath, [PROGRAM, ...args], { stdio: "inherit" });
    const [code, signal] = (await once(program, "exit")) as [number | null, string | null];
    if (code !== 0) expect(signal).toBe("SIGKILL");
    return code === 0;
  }
  interface Step {
    readonly ranks: number;
    readonly value: number;
    readonly killAt?: number;
  }

  async function saveAll(step: Step): Promise<void> {
    for (let rank = 0; rank < step.ranks; rank++) expect(await save(rank, step)).toBe(true);
  }

  it.each([
    { from: 2, to: 2 },
    { from: 2, to: 3 },
    { from: 1, to: 2 },
    { from: 2, to: 1 },
  ])(
    "leaves the old one or the new one whole, at each change of a name ($from → $to ranks)",
    async ({ from, to }) => {
      await saveAll({ ranks: from, value: 1 });
      await saveAll({ ranks: from, value: 2 });
      const seen: number[] = [];
      let value = 3;
      for (let killAt = 1, ended = false; !ended; killAt++, value++) {
        expect(killAt).toBeLessThan(CHANGES_MAX);
        const before = await loaded(directory);
        const kept = await mkdtemp(join(tmpdir(), "podfs-rank-before-"));
        await cp(directory, kept, { recursive: true, preserveTimestamps: true });
        for (let rank = 0; rank < to - 1; rank++) await save(rank, { ranks: to, value });
        expect(await loaded(directory)).toEqual(before);
        ended = await save(to - 1, { ranks: to, value, killAt });
        const after = await loaded(directory);
        expect([before, { value, ranks: to }]).toContainEqual(after);
        seen.push(after.value === value ? 1 : 0);
        // What has been left keeps nobody from saving again.
        await saveAll({ ranks: to, value: value + 100 });
        expect(await loaded(directory)).toEqual({ value: value + 100, ranks: to });
        expect((await readdir(directory)).filter((name) => !name.startsWith("."))).toHaveLength(to === 1 ? 1 : to + 1);
        await rm(directory, { recursive: true });
        await cp(kept, directory, { recursive: true, preserveTimestamps: true });
        await rm(kept, { recursive: true });
      }
      // First the old one, then the new one, once and for all.
      expect(seen).toEqual([...seen].sort());
      expect(new Set(seen)).toEqual(new Set([0, 1]));
    },
    TEST_TIMEOUT_MS,
  );
});

const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined)(
  `a pod that dies while a checkpoint is uploaded (${obstacle ?? "real mounts"})`,
  () => {
    let server: S3TestServer;
    const machines: PodfsMachine[] = [];
    const stagers: Stager[] = [];
    beforeEach(async () => {
      server = await startS3Server({ own: true });
    });
    afterEach(async () => {
      server.trouble = undefined;
      await Promise.allSettled(stagers.splice(0).map((stager) => stager.close()));
      for (const machine of machines.splice(0)) await machine.dispose();
      await server.close();
    });

    async function mounted(volume: string, ...options: string[]): Promise<[PodfsMachine, string]> {
      const machine = await PodfsMachine.create(server.environment);
      machines.push(machine);
      const workspace = await machine.path("workspace");
      await machine.mount(volume, workspace, ...options);
      return [machine, workspace];
    }

    async function open(directory: string, options: StagerOptions = {}): Promise<Stager> {
      const stager = await Stager.open(directory, { mode: "shm", ringBytes: 8 << 20, ...options });
      stagers.push(stager);
      return stager;
    }

    it(
      "leaves the old one or the new one in the volume: no index goes ahead of what it names",
      async () => {
        const volume = await server.createVolumeUrl();
        const [machine, workspace] = await mounted(volume, "--create");
        const ranks = [await open(workspace, { rank: 0, ranks: 2 }), await open(workspace, { rank: 1, ranks: 2 })];
        const save = async (value: number): Promise<void> => {
          for (const [rank, stager] of ranks.entries()) {
            // Of random bytes: each is a pack, which takes longer than the index.
            const data = crypto.getRandomValues(new Uint8Array(65536));
            const large = new Uint8Array(20 << 20);
            for (let at = 0; at < large.length; at += data.length)
              large.set(
                data.map((byte) => byte ^ (at >> 16)),
                at,
              );
            const tensors = {
              [`large.${rank}`]: { dtype: "U8", shape: [large.length], data: large },
              [`value.${rank}`]: { dtype: "U8", shape: [1], data: Uint8Array.of(value) },
            } as const;
            await (await stager.save(tensors, "x", { saveId: `${value}`, overwrite: true })).committed;
          }
        };
        const valuesIn = async (directory: string): Promise<number[]> => {
          const reader = await open(directory, { mode: "file" });
          const loaded = await reader.load("x");
          return [0, 1].map((rank) => loaded[`value.${rank}`]?.data[0] ?? -1);
        };
        await save(1);
        await Promise.all(ranks.map((stager) => stager.wait({ durable: true })));
        let packs = 0;
        server.trouble = ({ method, path }) => {
          return method !== "GET" && path.includes("/pack/") && ++packs === 1 ? "hang" : undefined;
        };
        await save(2);
        expect(await valuesIn(workspace)).toEqual([2, 2]);
        const other = await open(workspace);
        await (await other.save({ y: { dtype: "U8", shape: [1], data: Uint8Array.of(1) } }, "other")).published;
        await machine.kill(workspace);
        const [, elsewhere] = await mounted(volume, "--read-only");
        const values = await valuesIn(elsewhere);
        expect(values[0]).toBe(values[1]);
        expect((await readdir(elsewhere)).sort()).toContain("other.safetensors");
      },
      TEST_TIMEOUT_MS,
    );
  },
);
