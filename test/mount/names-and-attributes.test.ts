import { resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";

const EXERCISER = resolve(import.meta.dirname, "../support/stat-both-ways.py");
const STEPS = 400;
const TEST_TIMEOUT_MS = 5 * 60_000;
const obstacle = mountObstacle();

/** PODFS_MODEL_SEED repeats a run. */
const seed = Number(process.env.PODFS_MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** The engine repeats attributes, and says of names that they are not there: it must never be wrong. */
describe.skipIf(obstacle !== undefined)(`names and attributes (${obstacle ?? `seed ${seed}`})`, () => {
  const machines: PodfsMachine[] = [];
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  it.each(["passthrough", "served"] as const)(
    "are the same whoever answers, also after a remount and kill -9: %s",
    async (mode) => {
      const machine = await PodfsMachine.create();
      machines.push(machine);
      const [store, workspace] = [await machine.path("store"), await machine.path("workspace")];
      const options = mode === "served" ? ["--no-passthrough"] : [];
      const exercise = (run: number) => shell("/", `python3 ${EXERCISER} ${workspace} ${seed + run} ${STEPS}`);

      await machine.mount(store, workspace, "--create", ...options);
      expect(await exercise(0)).toContain(`${STEPS} steps`);
      const { requests } = (await machine.status(workspace)).fuse;
      expect(requests.getattr).toBeGreaterThan(STEPS);
      expect(requests.statx).toBeGreaterThan(STEPS);
      await machine.unmount(workspace);
      await machine.mount(store, workspace, ...options);
      await exercise(1);
      await machine.kill(workspace);
      await machine.mount(store, workspace, ...options);
      await exercise(2);
      await machine.unmount(workspace);
    },
    TEST_TIMEOUT_MS,
  );
});
