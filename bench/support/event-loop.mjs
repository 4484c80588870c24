import { startIdleProcess } from "./loop-reader.mjs";
import { MachineStops, ownMsWithoutStops } from "./machine-stops.mjs";
import { OURS, Row } from "./row.mjs";
import { compile } from "./yardsticks.mjs";

const STALL_SECONDS_MAX = 0.02;
/** As monitorEventLoopDelay counts: whoever had the processors is in it. */
const WITH_WAITS = "with waits for a processor";
const IDLE = "idle process";

/**
 * The longest time the daemon held its event loop up while the rows of a family were measured: one sample for each `take`.
 * What its thread waited for a processor that others had is not in it (loop-stalls.mjs), nor the time in which its own stood
 * still (machine-stops.mjs), of each stall by itself. Beside it stand the longest stall with all that, and what an idle process
 * saw meanwhile.
 */
export class EventLoopRow {
  #row;
  #idle;
  /** The program that watches the processors; undefined without a compiler. */
  #watch;
  /** What it sees; of the mount with this process. */
  #machine;
  #watchedPid;

  /**
   * Starts what watches the machine.
   * @param family id and title of the rows it goes with
   * @param target null where nobody waits for the loop
   */
  static async start(workspace, family, target = { of: "value", atMost: STALL_SECONDS_MAX }) {
    const loop = new EventLoopRow();
    const directory = await workspace.path("loop");
    loop.#idle = await startIdleProcess(directory);
    workspace.onDispose(loop.#idle, async () => loop.#idle.stop());
    loop.#watch = await compile(workspace, "processor-stops").catch(() => undefined);
    workspace.onDispose(loop, async () => loop.#machine?.end());
    loop.#row = new Row({
      id: `event-loop-${family.id}`,
      group: "event loop",
      title: `longest stall: ${family.title}`,
      unit: "s",
      better: "lower",
      conditions:
        "podfs: what the daemon computed, or waited for in the middle of it, while its processor did not stand still; the others: monitorEventLoopDelay",
      ...(target === null ? {} : { target }),
      judgedBy: "max",
      // Maxima of a few rounds differ widely; the target is what counts.
      tolerance: null,
    });
    return loop;
  }

  /**
   * Counts what happens during an action: not what prepares it, nor what others do in turn with it.
   * @returns what the action returns
   */
  async during(mount, what, action) {
    await this.ignore(mount);
    const result = await action();
    await this.take(mount, what);
    return result;
  }

  /** What happened up to now does not count: mounting, preparation. */
  async ignore(mount) {
    await this.#read(mount);
  }

  /** Counts what happened since the last call. @returns the daemon's report, see loop-delay.mjs */
  async take(mount, what) {
    const { ours, idle, stops } = await this.#read(mount);
    const { p99Ms, cpuMs, elapsedMs, worst, longest } = ours;
    const figures = { [OURS]: ownMsWithoutStops(ours, stops), [WITH_WAITS]: ours.maxMs, [IDLE]: idle.maxMs };
    const seconds = Object.entries(figures).map(([name, ms]) => [name, ms / 1000]);
    this.#row.add(Object.fromEntries(seconds), { what, p99Ms, cpuMs, elapsedMs, worst, longest });
    return ours;
  }

  async #read(mount) {
    const [ours, idle] = await Promise.all([mount.loop.read(), this.#idle.reader.read()]);
    return { ours, idle, stops: await this.#takeStops(mount.loop.pid) };
  }

  /** Of a mount that was not watched so far, nothing is known. Nor without threads of real-time priority. */
  async #takeStops(pid) {
    if (this.#watchedPid === pid) return (await this.#machine?.take()) ?? [];
    this.#machine?.end();
    this.#watchedPid = pid;
    this.#machine = this.#watch && (await MachineStops.start(this.#watch, pid).catch(() => undefined));
    return [];
  }

  finish() {
    return this.#row.finish();
  }
}
