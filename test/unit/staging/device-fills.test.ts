import { describe, expect, it } from "vitest";
import { Deferred } from "../../../src/base/index.js";
import { DeviceFills } from "../../../src/staging/device-fills.js";

/** Copies that end when the test lets them; what happens is noted in order. */
function start() {
  const copies: Deferred[] = [];
  const events: string[] = [];
  const save = {
    copy: (slot: number) => {
      const copy = new Deferred();
      copies.push(copy);
      return copy.promise.then(() => void events.push(`slot ${slot}`));
    },
    end: async () => void events.push("closed"),
  };
  const fills = new DeviceFills(save, (count) => events.push(`copied ${count}`));
  return { copies, events, fills };
}

const settled = () => new Promise(setImmediate);

describe("fills from device memory", () => {
  it("are told to the client when all of them are copied and nothing of its memory is open", async () => {
    const { copies, events, fills } = start();
    const both = Promise.all([fills.fill(0, []), fills.fill(1, [])]);
    copies[0]?.resolve();
    await settled();
    expect(events).toEqual(["slot 0"]);
    copies[1]?.resolve();
    await both;
    await settled();
    expect(events).toEqual(["slot 0", "slot 1", "closed", "copied 2"]);
    const third = fills.fill(0, []);
    copies[2]?.resolve();
    await third;
    await settled();
    expect(events.slice(4)).toEqual(["slot 0", "closed", "copied 3"]);
  });

  it("that fail are not told as copied", async () => {
    const { copies, events, fills } = start();
    const filling = fills.fill(0, []);
    copies[0]?.reject(new Error("the child has ended"));
    await expect(filling).rejects.toThrow("the child has ended");
    await settled();
    expect(events).toEqual([]);
  });
});
