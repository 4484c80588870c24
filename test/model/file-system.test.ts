import { describe, it } from "vitest";
import { SeededRandom } from "../support/random.js";
import { FsAgainstModel } from "./fs-against-model.js";

const RUNS = 8;
const STEPS = 250;

/** PODFS_MODEL_SEED repeats one run. */
const given = process.env.PODFS_MODEL_SEED;
const seeds =
  given === undefined ? Array.from({ length: RUNS }, () => Math.floor(Math.random() * 2 ** 31)) : [Number(given)];

describe("the filesystem behaves as POSIX says", () => {
  it.each(seeds)(
    "in random steps, and finds everything again after a kill (seed %i)",
    async (seed) => {
      const run = new FsAgainstModel(new SeededRandom(seed));
      try {
        for (let lives = 0; lives < 3; lives++) {
          await run.run(STEPS);
          await run.restart();
        }
      } finally {
        await run.dispose();
      }
    },
    60_000,
  );
});
