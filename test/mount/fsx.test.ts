import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";

const EXERCISER = resolve(import.meta.dirname, "../support/fsx.py");
const obstacle = mountObstacle();
const TEST_TIMEOUT_MS = 10 * 60_000;

const STEPS = 400;
const MIB = 1 << 20;
const CACHE_BYTES = 256 * MIB;
/** What is written to push everything else out of the cache: more than it holds, in files it can let go one by one. */
const BALLAST_FILES = 5;
const BALLAST_FILE_MIB = 60;

/** One of each way in which the cache holds a file: fetched whole, in blocks, in blocks when opened for writing. */
const SIZES = [
  { directory: "small", sizeMax: 3 * MIB },
  { directory: "blocks", sizeMax: 12 * MIB },
  { directory: "tracked", sizeMax: 72 * MIB },
] as const;

/** PODFS_MODEL_SEED repeats a run. */
const seed = Number(process.env.PODFS_MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));

describe.skipIf(obstacle !== undefined)(`random file operations (${obstacle ?? `seed ${seed}`})`, () => {
  const machines: PodfsMachine[] = [];
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  it.each(["passthrough", "served"] as const)(
    "give what an image in memory has, also after kill -9, eviction and on another machine: %s",
    async (mode) => {
      const machine = await PodfsMachine.create();
      const elsewhere = await PodfsMachine.create();
      machines.push(machine, elsewhere);
      const options = ["--cache-size", `${CACHE_BYTES}`, ...(mode === "served" ? ["--no-passthrough"] : [])];
      const volume = await machine.path("store");
      const mountpoint = await machine.path("workspace");
      const images = await machine.path("images");
      for (const { directory } of SIZES) await mkdir(join(images, directory));
      let phase = 0;
      const exercise = async (root: string, steps = STEPS) => {
        phase += 1;
        for (const { directory, sizeMax } of SIZES) {
          const files = join(root, directory);
          const numbers = `${seed + phase} ${steps} ${sizeMax}`;
          await shell("/", `mkdir -p ${files} && python3 ${EXERCISER} ${files} ${join(images, directory)} ${numbers}`);
        }
      };

      await machine.mount(volume, mountpoint, "--create", ...options);
      await exercise(mountpoint);
      await machine.kill(mountpoint);
      await machine.mount(volume, mountpoint, ...options);
      await exercise(mountpoint);

      await machine.flush(mountpoint);
      for (let file = 0; file < BALLAST_FILES; file++) {
        await shell("/", `head -c ${BALLAST_FILE_MIB * MIB} /dev/urandom > ${join(mountpoint, `ballast${file}`)}`);
        await machine.flush(mountpoint);
      }
      const { gets } = (await machine.status(mountpoint)).backend;
      await exercise(mountpoint);
      expect((await machine.status(mountpoint)).backend.gets).toBeGreaterThan(gets);
      await machine.unmount(mountpoint);

      const other = await elsewhere.path("elsewhere");
      await elsewhere.mount(volume, other, ...options);
      await exercise(other);
      await elsewhere.unmount(other);

      await machine.mount(volume, mountpoint, ...options);
      await exercise(mountpoint, 0);
      await machine.unmount(mountpoint);
    },
    TEST_TIMEOUT_MS,
  );
});
