import { startIdleProcess } from "./loop-reader.mjs";
import { OURS, Row } from "./row.mjs";

const STALL_SECONDS_MAX = 0.02;
/** The daemon's own part: without what its thread waited for a processor that others had. */
const OWN = "podfs alone";
const IDLE = "idle process";

/**
 * The longest time the daemon's event loop was held up while the rows of a family were measured: one sample for each
 * `take`, beside what an idle process saw meanwhile. What a busy machine does to everybody shows in both.
 */
export class EventLoopRow {
  #row;
  #idle;

  /**
   * Starts the idle process.
   * @param family id and title of the rows it goes with
   * @param target null where nobody waits for the loop
   */
  static async start(workspace, family, target = { of: "value", atMost: STALL_SECONDS_MAX }) {
    const loop = new EventLoopRow();
    loop.#idle = await startIdleProcess(await workspace.path("loop"));
    workspace.onDispose(loop, async () => loop.#idle.stop());
    loop.#row = new Row({
      id: `event-loop-${family.id}`,
      group: "event loop",
      title: `longest stall: ${family.title}`,
      unit: "s",
      better: "lower",
      conditions: "1 ms of it is the sampling; the idle process shows what the machine did to everybody",
      ...(target === null ? {} : { target }),
      judgedBy: "max",
      // Maxima of a few rounds differ widely; the target is what counts.
      tolerance: null,
    });
    return loop;
  }

  /** What happened up to now does not count: mounting, preparation. */
  async ignore(mount) {
    await Promise.all([mount.loop.read(), this.#idle.reader.read()]);
  }

  /** Counts what happened since the last call. @returns the daemon's report, see loop-delay.mjs */
  async take(mount, what) {
    const [ours, idle] = await Promise.all([mount.loop.read(), this.#idle.reader.read()]);
    const { p99Ms, cpuMs, runQueueMs, elapsedMs } = ours;
    const figures = { [OURS]: ours.maxMs, [OWN]: ours.ownMaxMs, [IDLE]: idle.maxMs };
    const seconds = Object.entries(figures).map(([name, ms]) => [name, ms / 1000]);
    this.#row.add(Object.fromEntries(seconds), { what, p99Ms, cpuMs, runQueueMs, elapsedMs });
    return ours;
  }

  finish() {
    return this.#row.finish();
  }
}
