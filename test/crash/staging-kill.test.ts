import type { ChildProcess } from "node:child_process";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell, waitUntil } from "../support/podfs.js";
import { CLIENT_STEPS, expectedBytes, killClient, startClient } from "../support/staging-process.js";

const MIB = 1 << 20;
const BYTES = 24 * MIB + 777;
const TEST_TIMEOUT_MS = 900_000;
/** After "commit" has been sent it is a matter of milliseconds how far it comes. */
const COMMIT_ROUNDS_MS = [0, 1, 2, 5, 10, 20, 50];
const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined)(`checkpoints and kill -9 (${obstacle ?? "real mounts"})`, () => {
  const machines: PodfsMachine[] = [];
  const clients: ChildProcess[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) await killClient(client);
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  async function newMachine() {
    const machine = await PodfsMachine.create();
    machines.push(machine);
    return machine;
  }

  async function start(...client: Parameters<typeof startClient>): Promise<ChildProcess> {
    const started = await startClient(...client);
    clients.push(started);
    return started;
  }

  async function staging(machine: PodfsMachine, workspace: string) {
    const { staging } = await machine.status(workspace);
    if (staging === null) throw new Error("this mount takes no checkpoints");
    return staging;
  }

  /** The rounds of one kind of kill: each step once, the commit at several moments. */
  const rounds = CLIENT_STEPS.flatMap((step) => {
    return (step === "commit" ? COMMIT_ROUNDS_MS : [0]).map((delayMs) => ({
      step,
      delayMs,
      name: `${step}-${delayMs}`,
    }));
  });

  /** Whole, or not there. */
  async function expectWholeOrNone(
    workspace: string,
    { name, step }: { name: string; step: string },
  ): Promise<boolean> {
    const found = await readFile(join(workspace, name)).catch(() => undefined);
    if (found !== undefined) expect(found.equals(expectedBytes(BYTES))).toBe(true);
    if (step === "committed") expect(found).toBeDefined();
    else if (step !== "commit") expect(found).toBeUndefined();
    return found !== undefined;
  }

  it(
    "of the client, at every step: nothing half is seen, nothing is left",
    async () => {
      const machine = await newMachine();
      const store = await machine.path("store");
      const workspace = await machine.path("workspace");
      await machine.mount(store, workspace, "--create");
      const parent = (await stat(workspace)).ino;
      const { socket } = await staging(machine, workspace);
      const whole: string[] = [];
      for (const round of rounds) {
        const client = await start(socket, round.step, { parent, name: round.name, bytes: BYTES });
        await new Promise((resume) => setTimeout(resume, round.delayMs));
        await killClient(client);
        await waitUntil(async () => {
          const { usedBytes, clients } = await staging(machine, workspace);
          return usedBytes === 0 && clients.length === 0;
        }, `the ring of a client killed at "${round.step}" is free`);
        if (await expectWholeOrNone(workspace, round)) whole.push(round.name);
      }
      expect((await readdir(workspace)).sort()).toEqual(whole.sort());
      await machine.flush(workspace);
      await machine.unmount(workspace);
      expect(await contentBytes(machine)).toBe(whole.length * BYTES);
      const elsewhere = await newMachine();
      const reader = await elsewhere.path("reader");
      await elsewhere.mount(store, reader, "--read-only");
      expect((await readdir(reader)).sort()).toEqual(whole.sort());
      await elsewhere.unmount(reader);
    },
    TEST_TIMEOUT_MS,
  );

  it.each([{ replace: false }, { replace: true }])(
    "of the daemon, at every step: the next mount has the whole file or none (replacing: $replace)",
    async ({ replace }) => {
      const machine = await newMachine();
      const store = await machine.path("store");
      const workspace = await machine.path("workspace");
      let files = 0;
      await machine.mount(store, workspace, "--create");
      for (const round of rounds) {
        if (replace) await writeFile(join(workspace, round.name), "old");
        const parent = (await stat(workspace)).ino;
        const { socket } = await staging(machine, workspace);
        await start(socket, round.step, { parent, name: round.name, bytes: BYTES, replace });
        await new Promise((resume) => setTimeout(resume, round.delayMs));
        await machine.kill(workspace);
        await machine.mount(store, workspace);
        const path = join(workspace, round.name);
        const isOld = replace && (await readFile(path, "utf8")) === "old";
        if (isOld) {
          expect(round.step).not.toBe("committed");
          await shell(workspace, `rm ${round.name}`);
        }
        if (await expectWholeOrNone(workspace, round)) files += 1;
      }
      expect(await readdir(workspace)).toHaveLength(files);
      await machine.flush(workspace);
      await machine.unmount(workspace);
      expect(await contentBytes(machine)).toBe(files * BYTES);
    },
    TEST_TIMEOUT_MS,
  );
});

/** What all content files in the caches of a machine hold. */
async function contentBytes(machine: PodfsMachine): Promise<number> {
  const script = `find "${machine.directory}/cache" -path '*/content/*' -type f -printf '%s\\n' | awk '{ n += $1 } END { print n + 0 }'`;
  return Number(await shell("/", script));
}
