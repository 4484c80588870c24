import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Stager, type StagerOptions, type Tensor } from "../../src/index.js";
import { mountObstacle, PodfsMachine, shell, waitUntil } from "../support/podfs.js";
import { SeededRandom } from "../support/random.js";

const obstacle = mountObstacle();
/** Programs here import the package by its name, as those that have installed it. */
const PROJECT = resolve(import.meta.dirname, "../..");
const SMALL_RING = 8 << 20;
const EXIT_KILLED = null;

describe.skipIf(obstacle !== undefined)(`checkpoints of JavaScript programs (${obstacle ?? "real mounts"})`, () => {
  const random = new SeededRandom(5);
  let machine: PodfsMachine;
  let store: string;
  let workspace: string;
  let stagers: Stager[];
  let programs: ChildProcess[];

  beforeEach(async () => {
    machine = await PodfsMachine.create();
    [stagers, programs] = [[], []];
    store = await machine.path("store");
    workspace = await machine.path("workspace");
    await machine.mount(store, workspace, "--create");
  });
  afterEach(async () => {
    for (const program of programs) program.kill("SIGKILL");
    await Promise.allSettled(stagers.map((stager) => stager.close()));
    await machine.dispose();
  });

  async function open(options: StagerOptions = {}, directory = workspace): Promise<Stager> {
    const stager = await Stager.open(directory, { ringBytes: SMALL_RING, ...options });
    stagers.push(stager);
    return stager;
  }

  function vector(length: number): Tensor & { readonly data: Uint8Array } {
    const data = new Uint32Array(Math.ceil(length / 4));
    for (let i = 0; i < data.length; i++) data[i] = random.below(2 ** 32);
    return { dtype: "U8", shape: [length], data: new Uint8Array(data.buffer, 0, length) };
  }

  const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

  /**
   * Runs a JavaScript program that has `stager`, of the workspace, and `tensors` of 30 MB; it prints a line with `say`.
   * @returns when it has printed its first line.
   */
  async function start(body: string): Promise<ChildProcess> {
    const source = `
      import { Stager } from "podfs";
      const stager = await Stager.open(${JSON.stringify(workspace)}, { ringBytes: ${SMALL_RING} });
      const tensors = { x: { dtype: "U8", shape: [30e6], data: new Uint8Array(30e6).fill(7) } };
      const say = (text) => new Promise((done) => process.stdout.write(text + "\\n", done));
      ${body}`;
    const program = spawn(process.execPath, ["--input-type=module", "-e", source], {
      cwd: PROJECT,
      stdio: ["ignore", "pipe", "inherit"],
      env: machine.environment,
    });
    programs.push(program);
    await once(program.stdout!, "data");
    return program;
  }

  it("go through the mount's own memory, appear whole, and reach the volume", async () => {
    const stager = await open();
    expect([stager.mode, stager.reason]).toEqual(["shm", ""]);
    const x = vector(50_000_001);
    const before = Buffer.from(x.data);
    const save = await stager.save({ x, y: vector(3) }, "step-1");
    x.data.fill(0);
    // The mount may have been faster than this program.
    expect([[], ["step-1.safetensors"]]).toContainEqual(await readdir(workspace));
    await save.committed;
    expect(await readdir(workspace)).toEqual(["step-1.safetensors"]);
    expect(equal((await readFile(save.path)).subarray(4096, 4096 + before.length), before)).toBe(true);
    await save.published;
    await machine.runOk("cache", "drop", save.path);
    const cold = await stager.load("step-1");
    expect(equal(cold.x!.data, before)).toBe(true);
    expect((await machine.status(workspace)).publish.pendingFiles).toBe(0);
    expect(await machine.runOk("checkpoint", "verify", save.path)).toMatch(/: whole, 2 tensors, 47\.7 MiB\n$/);
  });

  it("replace others when they are whole, and refuse to where they may not", async () => {
    const directory = join(workspace, "ä ckpt");
    await mkdir(directory);
    const stager = await open({}, directory);
    const [first, second] = [vector(1000), vector(2_000_000)];
    await (await stager.save({ x: first }, "größe")).committed;
    await expect(stager.save({ x: second }, "größe")).rejects.toMatchObject({ kind: "exists" });
    await (await stager.save({ x: second }, "größe", { overwrite: true })).committed;
    expect(equal((await stager.load("größe")).x!.data, second.data)).toBe(true);
    expect(await readdir(directory)).toEqual(["größe.safetensors"]);
    await rm(directory, { recursive: true });
    await expect(stager.save({ x: first }, "x")).rejects.toMatchObject({ kind: "not-found" });
  });

  it("replace those of several ranks with all their files, once they are in the volume", async () => {
    const stager = await open();
    const shard = "x-00001-of-00002.safetensors";
    await writeFile(join(workspace, shard), "part");
    await writeFile(join(workspace, "x.safetensors.index.json"), JSON.stringify({ weight_map: { x: shard } }));
    await expect(stager.save({ x: vector(10) }, "x")).rejects.toMatchObject({ kind: "exists" });
    await stager.save({ x: vector(10) }, "x", { overwrite: true });
    await stager.wait({ durable: true });
    await waitUntil(async () => (await readdir(workspace)).length === 1, "the files of before are gone");
    expect(await readdir(workspace)).toEqual(["x.safetensors"]);
  });

  it("of several ranks, each a program of its own, are one when all are whole; and older ones go", async () => {
    const ranks = 3;
    const run = async (rank: number): Promise<unknown> => {
      const program = await start(`
        const own = await Stager.open(stager.directory, { ringBytes: ${SMALL_RING}, rank: ${rank}, ranks: ${ranks}, keep: 1 });
        await say(own.mode);
        for (const [step, name] of ["a", "a", "b", "b", "b"].entries()) {
          const state = { ["x" + ${rank}]: { ...tensors.x, data: tensors.x.data.fill(step) } };
          await own.save(state, name, { saveId: "save " + step, overwrite: true });
        }
        await own.wait({ durable: true });
        await own.close();
        await stager.close();`);
      if (program.exitCode === null) await once(program, "exit");
      return program.exitCode;
    };
    expect(await Promise.all(Array.from({ length: ranks }, (_, rank) => run(rank)))).toEqual([0, 0, 0]);
    await waitUntil(async () => (await readdir(workspace)).length === ranks + 1, "all but the last is gone");
    const stager = await open();
    const loaded = await stager.load("b");
    expect(Object.keys(loaded)).toEqual(["x0", "x1", "x2"]);
    for (const { data } of Object.values(loaded)) expect(data.every((byte) => byte === 4)).toBe(true);
    expect(await stager.list()).toEqual([expect.objectContaining({ name: "b", ranks, state: "complete" })]);
    expect(await machine.runOk("checkpoint", "verify", workspace)).toMatch(
      /b: whole, 3 tensors in 3 files, 85\.8 MiB\n$/,
    );
    await machine.runOk("checkpoint", "rm", join(workspace, "b"));
    expect(await readdir(workspace)).toEqual([]);
  });

  it("may be many at once, of several programs", async () => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => open()));
    const tensors = clients.map(() => vector(10_000_000));
    await Promise.all(
      clients.flatMap((client, i) => [0, 1].map((k) => client.save({ x: tensors[i]! }, `step-${i}-${k}`))),
    );
    await Promise.all(clients.map((client) => client.wait({ durable: true })));
    expect(await readdir(workspace)).toHaveLength(8);
    for (const [i, client] of clients.entries()) {
      expect(equal((await client.load(`step-${i}-1`)).x!.data, tensors[i]!.data)).toBe(true);
    }
  });

  it("do not fit where the cache has no room, which is said at once", async () => {
    const full = await machine.path("full");
    await machine.mount(await machine.path("store2"), full, "--create", "--cache-size", "64M");
    const stager = await open({}, full);
    await expect(stager.save({ x: vector(80 << 20) }, "x")).rejects.toMatchObject({ kind: "no-space" });
    await (await stager.save({ x: vector(1 << 20) }, "x")).committed;
    expect(await readdir(full)).toEqual(["x.safetensors"]);
  });

  it("do not fit on a full disk either, without a mount", async () => {
    const disk = await machine.path("disk");
    await shell(machine.directory, `mount -t tmpfs -o size=16m podfs-test '${disk}'`);
    try {
      const stager = await open({}, disk);
      await expect(stager.save({ x: vector(20 << 20) }, "x")).rejects.toMatchObject({ kind: "no-space" });
      expect(await readdir(disk)).toEqual([]);
      const x = vector(12_345_678);
      await (await stager.save({ x }, "x")).committed;
      expect(equal((await stager.load("x")).x!.data, x.data)).toBe(true);
      await stager.close();
    } finally {
      await shell(machine.directory, `umount '${disk}'`);
    }
  });

  it.each([
    ["while it copies", `await say("begun"); for (;;) await stager.save(tensors, "x", { overwrite: true });`],
    [
      "when it has copied",
      `await stager.save(tensors, "y"); process.kill(process.pid, "SIGSTOP"); await say("never");`,
    ],
  ])("of a program that is killed %s are whole, or not there", async (_, body) => {
    const said = body.includes("begun") ? body : `await say("begun"); ${body}`;
    const program = await start(said);
    await new Promise((resume) => setTimeout(resume, 300));
    program.kill("SIGKILL");
    const [code] = (await once(program, "exit")) as [number | null];
    expect(code).toBe(EXIT_KILLED);
    const stager = await open();
    for (const name of await readdir(workspace)) {
      expect((await stager.load(name)).x!.data.every((byte) => byte === 7)).toBe(true);
    }
    await (await stager.save({ x: vector(1000) }, "after")).published;
  });

  it("of a program that ends without waiting for them are not there; what it has waited for is", async () => {
    const program = await start(`
      await (await stager.save(tensors, "first")).committed;
      await say("saved");`);
    // Nothing of ours keeps it.
    if (program.exitCode === null) await once(program, "exit");
    expect(program.exitCode).toBe(0);
    expect(await readdir(workspace)).toEqual(["first.safetensors"]);
  });

  it("go on after the mount was killed and came back", async () => {
    const stager = await open({ mode: "shm" });
    await (await stager.save({ x: vector(1000) }, "before")).committed;
    await machine.kill(workspace);
    const lost = async (): Promise<void> => (await stager.save({ x: vector(30_000_000) }, "lost")).committed;
    await expect(lost()).rejects.toMatchObject({ name: "CheckpointError" });
    await stager.wait().catch(() => undefined);
    await machine.mount(store, workspace);
    const x = vector(30_000_000);
    await (await stager.save({ x }, "after")).committed;
    expect((await readdir(workspace)).sort()).toEqual(["after.safetensors", "before.safetensors"]);
    expect(equal((await stager.load("after")).x!.data, x.data)).toBe(true);
  });

  it("are written by the program itself where the mount takes none", async () => {
    const plain = await machine.path("plain");
    await machine.mount(await machine.path("store2"), plain, "--create", "--staging-memory", "0");
    const stager = await open({}, plain);
    expect(stager.mode).toBe("file");
    expect(stager.reason).toMatch(/plain is not in a podfs mount that takes checkpoints$/);
    const x = vector(5_000_000);
    await (await stager.save({ x }, "x")).committed;
    expect(equal((await stager.load("x")).x!.data, x.data)).toBe(true);
    expect(await readdir(plain)).toEqual(["x.safetensors"]);
    await expect(open({ mode: "shm" }, plain)).rejects.toMatchObject({ kind: "no-mount" });
  });

  it("cannot be saved once another pod has the volume", async () => {
    const stager = await open();
    const other = await machine.path("other");
    await machine.mount(store, other, "--take-over", "--cache-dir", join(machine.directory, "other-cache"));
    await waitUntil(async () => (await machine.status(workspace)).state === "fenced", "the mount knows it is fenced");
    await expect(stager.save({ x: vector(10) }, "x")).rejects.toMatchObject({ kind: "read-only" });
  });
});
