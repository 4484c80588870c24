import { startIdleProcess } from "./loop-reader.mjs";
import { OURS, Row } from "./row.mjs";

const STALL_SECONDS_MAX = 0.02;
/** As monitorEventLoopDelay counts: whoever had the processors is in it. */
const WITH_WAITS = "with waits for a processor";
const IDLE = "idle process";

/**
 * The longest time the daemon held its event loop up while the rows of a family were measured: one sample for each `take`.
 * What its thread waited for a processor that others had is not in it, of each stall by itself (loop-stalls.mjs). Beside it
 * stand the longest stall with all that, and what an idle process saw meanwhile.
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
      conditions:
        "podfs: what the daemon computed, or waited for in the middle of it; the others: monitorEventLoopDelay",
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
    const { p99Ms, cpuMs, elapsedMs, worst, longest } = ours;
    const figures = { [OURS]: worst.ownMs, [WITH_WAITS]: ours.maxMs, [IDLE]: idle.maxMs };
    const seconds = Object.entries(figures).map(([name, ms]) => [name, ms / 1000]);
    this.#row.add(Object.fromEntries(seconds), { what, p99Ms, cpuMs, elapsedMs, worst, longest });
    return ours;
  }

  finish() {
    return this.#row.finish();
  }
}
