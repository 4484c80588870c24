/**
 * Which part of a stall was the machine standing still. The host of a virtual machine can stop one of its processors with
 * nothing said: whoever ran there has the time as processor time, or as none (docs/decisions/0010). bench/native/processor-stops.c sees
 * when that happens, and for how much of it the processor was a program's.
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { firstWords } from "./commands.mjs";
import { KEPT_MS } from "./loop-stalls.mjs";

/** Within this time the watch has told of what it saw. */
const TOLD_WITHIN_MS = 5;

/**
 * @typedef {object} Stop  a time in which one processor did not run
 * @property {number} processor
 * @property {number} beganMs  CLOCK_MONOTONIC, which all processes share
 * @property {number} endMs
 * @property {number} takenMs  for how much of it the processor was the program's
 *
 * @typedef {import("./loop-stalls.mjs").Stretch & { beganMs: number, endMs: number }} KeptStretch
 */

/** Watches the processors for one program's main thread. */
export class MachineStops {
  #child;
  #text = "";
  /** @type {Stop[]} */
  #stops = [];

  /**
   * @param {string} watch bench/native/processor-stops.c, compiled
   * @param {number} pid the program
   * @throws Error it may have no threads of real-time priority
   */
  static async start(watch, pid) {
    const stops = new MachineStops();
    stops.#child = spawn(watch, [String(pid)], { stdio: ["ignore", "pipe", "inherit"] });
    await firstWords(stops.#child);
    stops.#child.stdout.on("data", (bytes) => stops.#read(String(bytes)));
    return stops;
  }

  /** @returns {Promise<Stop[]>} since the last call */
  async take() {
    await sleep(TOLD_WITHIN_MS);
    return this.#stops.splice(0);
  }

  end() {
    this.#child.kill();
  }

  #read(text) {
    const lines = (this.#text + text).split("\n");
    this.#text = lines.pop();
    for (const line of lines) {
      const [processor, ...nanos] = line.split(" ").map(Number);
      const [beganMs, endMs, takenMs] = nanos.map((ns) => ns / 1e6);
      this.#stops.push({ processor, beganMs, endMs, takenMs });
    }
  }
}

/**
 * The longest of a program's stretches by its own part, without the time in which its processor stood still: also
 * in the kernel, which may not let go of a processor for some milliseconds. What the watch cannot tell stays in.
 *
 * @param {{ worst: import("./loop-stalls.mjs").Stretch, stretches: readonly KeptStretch[] }} program
 * @param {readonly Stop[]} stops
 */
export function ownMsWithoutStops({ worst, stretches }, stops) {
  const own = stretches.map((stretch) => stretch.ownMs - takenMs(stretch, stops));
  return Math.max(Math.min(worst.ownMs, KEPT_MS), ...own);
}

function takenMs(stretch, stops) {
  return stops.reduce((sum, stop) => sum + Math.max(0, Math.min(stop.takenMs, overlapMs(stretch, stop))), 0);
}

function overlapMs(one, other) {
  return Math.min(one.endMs, other.endMs) - Math.max(one.beganMs, other.beganMs);
}
