import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";

const execute = promisify(execFile);
const BENCH = resolve(import.meta.dirname, "../../bench");

interface Stop {
  readonly processor: number;
  readonly beganMs: number;
  readonly endMs: number;
  readonly takenMs: number;
}

interface Stretch {
  readonly beganMs: number;
  readonly endMs: number;
  readonly gapMs: number;
  readonly ownMs: number;
}

interface Watch {
  take(): Promise<Stop[]>;
  end(): void;
}

const { MachineStops, ownMsWithoutStops } = (await import(join(BENCH, "support/machine-stops.mjs"))) as {
  MachineStops: { start(watch: string, pid: number): Promise<Watch> };
  ownMsWithoutStops(
    program: { readonly worst: Stretch; readonly stretches: readonly Stretch[] },
    stops: readonly Stop[],
  ): number;
};
const { compile } = (await import(join(BENCH, "support/yardsticks.mjs"))) as {
  compile(workspace: { readonly directory: string }, name: string): Promise<string>;
};
const { processors } = (await import(join(BENCH, "support/machine.mjs"))) as { processors(): Promise<number[]> };

/** CLOCK_MONOTONIC, as in {@link Stop}. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function stretch(beganMs: number, endMs: number, ownMs = endMs - beganMs): Stretch {
  return { beganMs, endMs, gapMs: endMs - beganMs, ownMs };
}

function stop(beganMs: number, endMs: number, takenMs = endMs - beganMs): Stop {
  return { processor: 0, beganMs, endMs, takenMs };
}

function ownMs(stretches: readonly Stretch[], ...stops: readonly Stop[]): number {
  const [worst] = stretches.toSorted((a, b) => b.ownMs - a.ownMs);
  return ownMsWithoutStops({ worst: worst!, stretches }, stops);
}

describe("a stall without what its processor stood still in it", () => {
  it("is shorter by what the program was charged with meanwhile", () => {
    expect(ownMs([stretch(100, 130)], stop(105, 125))).toBe(10);
    expect(ownMs([stretch(100, 130)], stop(105, 125, 8))).toBe(22);
    expect(ownMs([stretch(100, 130)], stop(102, 110), stop(112, 118))).toBe(16);
  });

  it("is as long as it was when the program was charged with nothing, or at another time", () => {
    expect(ownMs([stretch(100, 130)], stop(105, 125, 0))).toBe(30);
    expect(ownMs([stretch(100, 130)], stop(60, 90), stop(140, 170))).toBe(30);
    expect(ownMs([stretch(100, 130)])).toBe(30);
  });

  it("is shorter by no more than lies in it", () => {
    expect(ownMs([stretch(100, 130)], stop(80, 110))).toBe(20);
  });

  it("is judged by itself: the next one may be the longest then", () => {
    expect(ownMs([stretch(100, 130), stretch(200, 218)], stop(103, 128))).toBe(18);
  });

  it("is no shorter than those that are not kept may be", () => {
    expect(ownMs([stretch(100, 130)], stop(101, 130))).toBe(5);
    expect(ownMsWithoutStops({ worst: stretch(100, 102), stretches: [] }, [])).toBe(2);
  });
});

describe("the watch over the processors", () => {
  const STOPPED_MS = 60;

  /** Bound to a processor that nobody but the watch takes from it. */
  function startProgram(processor: number, action: string, interpreter = [process.execPath, "-e"]): ChildProcess {
    const program = spawn("chrt", ["-f", "10", "taskset", "-c", String(processor), ...interpreter, action]);
    onTestFinished(() => {
      program.kill();
    });
    return program;
  }

  /** Its threads are late when they are stopped, and cannot tell that from a processor that is. */
  async function startWatch(program: ChildProcess): Promise<{ watch: Watch; pid: number; stop: () => Promise<void> }> {
    const directory = mkdtempSync(join(tmpdir(), "podfs-stops-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const binary = await compile({ directory }, "processor-stops");
    const watch = await MachineStops.start(binary, program.pid!);
    onTestFinished(() => watch.end());
    const pid = Number(execFileSync("pgrep", ["-f", binary], { encoding: "utf8" }));
    const script = `kill -STOP ${pid}; sleep ${STOPPED_MS / 1000}; kill -CONT ${pid}`;
    // From another processor than the program's, whom it would take that one from.
    const away = String((await processors()).at(-1));
    return { watch, pid, stop: async () => void (await execute("taskset", ["-c", away, "sh", "-c", script])) };
  }

  function longestOf(stops: readonly Stop[], processor: number): Stop {
    const [longest] = stops
      .filter((one) => one.processor === processor)
      .toSorted((a, b) => b.endMs - b.beganMs - (a.endMs - a.beganMs));
    return longest!;
  }

  /** What the watch tells after it was stopped: it is told by and by. */
  async function afterStop({ watch, stop: stopWatch }: { watch: Watch; stop: () => Promise<void> }): Promise<Stop[]> {
    await stopWatch();
    const stops: Stop[] = [];
    const isTold = (processor: number): boolean =>
      stops.some((one) => one.processor === processor && one.endMs - one.beganMs > STOPPED_MS / 2);
    const all = await processors();
    for (let attempt = 0; attempt < 100 && !all.every(isTold); attempt++) {
      await sleep(20);
      stops.push(...(await watch.take()));
    }
    return stops;
  }

  it("says of each processor when it did not run, and what a program took of it there", async () => {
    const [processor, ...others] = await processors();
    const program = startProgram(processor!, "for (;;);");
    await sleep(200);
    const started = await startWatch(program);
    await sleep(20);
    await started.watch.take();
    // Of some tries: 50 ms of each second are for those without real-time priority (sched_rt_runtime_us).
    let takenMs = 0;
    for (let attempt = 0; attempt < 5 && takenMs < STOPPED_MS / 2; attempt++) {
      const stops = await afterStop(started);
      for (const each of [processor!, ...others]) {
        const { beganMs, endMs } = longestOf(stops, each);
        expect(endMs - beganMs).toBeGreaterThan(STOPPED_MS / 2);
      }
      for (const each of others) expect(longestOf(stops, each).takenMs).toBe(0);
      takenMs = longestOf(stops, processor!).takenMs;
    }
    expect(takenMs).toBeGreaterThan(STOPPED_MS / 2);
    expect(takenMs).toBeLessThan(STOPPED_MS * 2);
  });

  it("misses no stop, whatever it was doing when that began", async () => {
    const program = spawn("sleep", ["infinity"]);
    onTestFinished(() => void program.kill());
    const { watch, pid } = await startWatch(program);
    const stoppedAtMs: number[] = [];
    for (let i = 0; i < 400; i++) {
      await sleep(3);
      // At any moment of its two milliseconds, not just after a timer has fired for both.
      for (const untilMs = monotonicMs() + (i % 100) / 50; monotonicMs() < untilMs; );
      process.kill(pid, "SIGSTOP");
      await sleep(10);
      stoppedAtMs.push(monotonicMs());
      process.kill(pid, "SIGCONT");
    }
    await sleep(20);
    const stops = await watch.take();
    for (const processor of await processors()) {
      const seen = stops.filter((one) => one.processor === processor);
      const missed = stoppedAtMs.filter((ms) => !seen.some((one) => one.beganMs < ms && ms < one.endMs));
      expect(missed).toEqual([]);
    }
  });

  it("takes nothing from a program that waits", async () => {
    const [processor] = await processors();
    const program = startProgram(processor!, "setTimeout(() => {}, 1e6)");
    await sleep(200);
    const started = await startWatch(program);
    await started.watch.take();
    const stops = await afterStop(started);
    expect(stops.length).toBeGreaterThan(0);
    expect(Math.max(...stops.map((one) => one.takenMs))).toBeLessThan(5);
  });

  it("takes nothing from a program that slept meanwhile", async () => {
    const [processor] = await processors();
    // Not JavaScript: threads that Node.js wakes as well would take the processor from it, and that alone rules it out.
    const action = "t = time.monotonic\nwhile 1:\n  end = t() + 0.03\n  while t() < end: pass\n  time.sleep(0.03)";
    const program = startProgram(processor!, `import time\n${action}`, ["python3", "-c"]);
    await sleep(200);
    const started = await startWatch(program);
    for (let attempt = 0; attempt < 20; attempt++) {
      await started.watch.take();
      expect(longestOf(await afterStop(started), processor!).takenMs).toBe(0);
    }
  });

  it("does not take a program that computes for a processor that does not run", async () => {
    const [processor] = await processors();
    const program = startProgram(processor!, "for (;;);");
    await sleep(200);
    const { watch } = await startWatch(program);
    await watch.take();
    await sleep(300);
    const takenMs = (await watch.take()).reduce((sum, one) => sum + one.takenMs, 0);
    expect(takenMs).toBeLessThan(150);
  });
});
