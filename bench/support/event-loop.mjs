import { startIdleProcess } from "./loop-reader.mjs";
import { processors } from "./machine.mjs";
import { ownMsWithoutStops } from "./machine-stops.mjs";
import { OURS, Row } from "./row.mjs";

const STALL_SECONDS_MAX = 0.02;
/** As monitorEventLoopDelay counts: whoever had the processors is in it. */
const WITH_WAITS = "with waits for a processor";
const IDLE = "idle process";
/** On more of them their idle processes would be a load, and nothing is known of the machine. */
const PROCESSORS_MAX = 4;

/**
 * The longest time the daemon held its event loop up while the rows of a family were measured: one sample for each `take`.
 * What its thread waited for a processor that others had is not in it (loop-stalls.mjs), nor what the whole machine stood
 * still (machine-stops.mjs), of each stall by itself. Beside it stand the longest stall with all that, and what an idle process
 * saw meanwhile.
 */
export class EventLoopRow {
  #row;
  #idle;
  /** One for each processor. */
  #bound;

  /**
   * Starts the idle processes.
   * @param family id and title of the rows it goes with
   * @param target null where nobody waits for the loop
   */
  static async start(workspace, family, target = { of: "value", atMost: STALL_SECONDS_MAX }) {
    const loop = new EventLoopRow();
    const directory = await workspace.path("loop");
    loop.#idle = await startIdleProcess(directory);
    const bound = await processors();
    const watched = bound.length > PROCESSORS_MAX ? [] : bound;
    loop.#bound = await Promise.all(watched.map((processor) => startIdleProcess(directory, processor)));
    workspace.onDispose(loop, async () => {
      for (const { stop } of [loop.#idle, ...loop.#bound]) stop();
    });
    loop.#row = new Row({
      id: `event-loop-${family.id}`,
      group: "event loop",
      title: `longest stall: ${family.title}`,
      unit: "s",
      better: "lower",
      conditions:
        "podfs: what the daemon computed, or waited for in the middle of it, while the machine did not stand still; the others: monitorEventLoopDelay",
      ...(target === null ? {} : { target }),
      judgedBy: "max",
      // Maxima of a few rounds differ widely; the target is what counts.
      tolerance: null,
    });
    return loop;
  }

  /** What happened up to now does not count: mounting, preparation. */
  async ignore(mount) {
    await this.#read(mount);
  }

  /** Counts what happened since the last call. @returns the daemon's report, see loop-delay.mjs */
  async take(mount, what) {
    const [ours, idle, ...bound] = await this.#read(mount);
    const { p99Ms, cpuMs, elapsedMs, worst, longest } = ours;
    const stretches = bound.map((report) => report.stretches);
    const figures = { [OURS]: ownMsWithoutStops(ours, stretches), [WITH_WAITS]: ours.maxMs, [IDLE]: idle.maxMs };
    const seconds = Object.entries(figures).map(([name, ms]) => [name, ms / 1000]);
    this.#row.add(Object.fromEntries(seconds), { what, p99Ms, cpuMs, elapsedMs, worst, longest });
    return ours;
  }

  /** Of the daemon, the idle process, and those bound to a processor. */
  #read(mount) {
    const readers = [mount.loop, this.#idle.reader, ...this.#bound.map(({ reader }) => reader)];
    return Promise.all(readers.map((reader) => reader.read()));
  }

  finish() {
    return this.#row.finish();
  }
}
