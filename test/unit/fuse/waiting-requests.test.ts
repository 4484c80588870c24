import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";
import { hasFatalSignal, isBeingKilled } from "../../../src/fuse/native/caller-state.js";
import { WaitingRequests } from "../../../src/fuse/native/waiting-requests.js";
import { ManualClock } from "../../support/manual-clock.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));

function status(masks: { pending?: bigint; shared?: bigint; blocked?: bigint; ignored?: bigint; caught?: bigint }) {
  const hex = (mask = 0n) => mask.toString(16).padStart(16, "0");
  const { pending, shared, blocked, ignored, caught } = masks;
  return [
    ["Name", "cat"],
    ["SigQ", "0/63000"],
    ["SigPnd", hex(pending)],
    ["ShdPnd", hex(shared)],
    ["SigBlk", hex(blocked)],
    ["SigIgn", hex(ignored)],
    ["SigCgt", hex(caught)],
  ]
    .map(([name, value]) => `${name}:\t${value}\n`)
    .join("");
}
const [SIGINT, SIGKILL, SIGALRM, SIGCHLD] = [1n << 1n, 1n << 8n, 1n << 13n, 1n << 16n];

describe("a caller with a signal", () => {
  it("is being killed by one that ends it, to itself or to its process", () => {
    expect(hasFatalSignal(status({ pending: SIGKILL }))).toBe(true);
    expect(hasFatalSignal(status({ shared: SIGINT, caught: SIGALRM }))).toBe(true);
  });

  it("is not by one that it handles, ignores or blocks, or that means nothing", () => {
    expect(hasFatalSignal(status({}))).toBe(false);
    expect(hasFatalSignal(status({ pending: SIGALRM, caught: SIGALRM }))).toBe(false);
    expect(hasFatalSignal(status({ shared: SIGINT, ignored: SIGINT }))).toBe(false);
    expect(hasFatalSignal(status({ pending: SIGINT, blocked: SIGINT }))).toBe(false);
    expect(hasFatalSignal(status({ shared: SIGCHLD }))).toBe(false);
  });

  it("counts as killed when it is gone or out of sight", async () => {
    expect(await isBeingKilled(0)).toBe(true);
    expect(await isBeingKilled(process.pid)).toBe(false);
    const child = spawn("true");
    await new Promise((resolve) => child.on("exit", resolve));
    expect(await isBeingKilled(child.pid ?? 0)).toBe(true);
  });
});

describe("waiting requests", () => {
  function setUp() {
    const clock = new ManualClock();
    const killed = new Set<number>();
    const looks: number[] = [];
    const waiting = new WaitingRequests({
      clock,
      isBeingKilled: async (pid) => {
        looks.push(pid);
        return killed.has(pid);
      },
    });
    const interrupted: number[] = [];
    const add = (unique: number, pid: number) => waiting.add(unique, pid, () => interrupted.push(unique));
    return { clock, killed, looks, waiting, interrupted, add };
  }

  it("end when their caller is killed, and not before the kernel has said that there is a signal", async () => {
    const { killed, looks, waiting, interrupted, add } = setUp();
    add(2, 100);
    add(4, 200);
    killed.add(100).add(200);
    waiting.signalled(4);
    await turn();
    expect(looks).toEqual([200]);
    expect(interrupted).toEqual([4]);
  });

  it("go on when the signal was a harmless one, and are looked after until a later one kills", async () => {
    const { clock, killed, looks, waiting, interrupted, add } = setUp();
    add(2, 100);
    waiting.signalled(2);
    waiting.signalled(2);
    await turn();
    expect(looks).toEqual([100]);
    killed.add(100);
    await clock.advance(1000);
    await turn();
    expect(interrupted).toEqual([2]);
  });

  it("are left alone once they are answered", async () => {
    const { clock, killed, waiting, interrupted, add } = setUp();
    add(2, 100);
    add(4, 200);
    killed.add(100).add(200);
    waiting.signalled(2);
    waiting.remove(2);
    waiting.signalled(4);
    waiting.clear();
    waiting.signalled(6);
    await turn();
    await clock.advance(1000);
    await turn();
    expect(interrupted).toEqual([]);
  });
});
