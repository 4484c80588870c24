import { performance } from "node:perf_hooks";
import { describe, expect, it } from "vitest";
import { shareLoop } from "../../../src/base/index.js";

/** More than any share of a turn. */
const LONG_MS = 10;

function compute(): void {
  for (const endMs = performance.now() + LONG_MS; performance.now() < endMs; );
}

const nextTurn = (): Promise<void> => new Promise((resume) => setImmediate(resume));

describe("a share of the event loop", () => {
  it("is there at first, is used up by computing, and is there again in the next turn", async () => {
    await nextTurn();
    expect(shareLoop()).toBeUndefined();
    compute();
    const used = shareLoop();
    expect(used).toBeInstanceOf(Promise);
    await used;
    expect(shareLoop()).toBeUndefined();
  });

  it("is one for all that run in a turn, and lets each of them get on", async () => {
    await nextTurn();
    const done: string[] = [];
    const work = async (name: string): Promise<void> => {
      for (let record = 1; record <= 3; record++) {
        await shareLoop();
        compute();
        done.push(`${name}${record}`);
      }
    };
    let turns = 0;
    const counting = setInterval(() => turns++, 1);
    await Promise.all([work("a"), work("b")]);
    clearInterval(counting);
    expect(done.toSorted()).toEqual(["a1", "a2", "a3", "b1", "b2", "b3"]);
    expect(turns).toBeGreaterThanOrEqual(2);
  });
});
