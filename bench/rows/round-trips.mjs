/** Requests that need metadata only, against the least a daemon can do. */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { run } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { OURS, Row } from "../support/row.mjs";
import { Workspace } from "../support/workspace.mjs";
import { compile, mountYardstick } from "../support/yardsticks.mjs";

const BARE = "bare C loop";
/**
 * The least a daemon can do, and something: it shows what 2 µs of work cost where a round trip takes 13 to 25. Far more than
 * 2 µs, on virtual machines: the client's processor goes idle meanwhile, and waking it is the hypervisor's business.
 */
const WORKING = "bare C loop with 2 µs of work";
const WORK_NANOS = 2000;
/** Our engine with a handler of a few lines: what is between it and podfs is TypeScript. */
const ENGINE = "engine alone";

export const family = {
  id: "round-trips",
  title: "metadata round trips",
  needs: ["root", "fuse", "cc"],
  minutes: 1.5,
  measure,
};

const KINDS = [
  { what: "lookup", title: "lookup round trip", on: (place) => place.directory },
  { what: "getattr", title: "getattr round trip", on: (place) => place.file },
];

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    const mount = await workspace.mount(await workspace.path("store"), "workspace", "--create");
    const loop = await EventLoopRow.start(workspace, family);
    const file = join(mount.directory, "file");
    await writeFile(file, "");
    await mount.flush();
    const places = {
      [BARE]: await mountYardstick(workspace, "bare-loop"),
      [WORKING]: await mountYardstick(workspace, "bare-loop", { name: "working-loop", workNanos: WORK_NANOS }),
      [ENGINE]: await mountYardstick(workspace, "minimal-session"),
      [OURS]: { directory: mount.directory, file, pid: mount.pid },
    };
    const onClientsProcessor = await separate(Object.values(places));
    const client = await compile(workspace, "round-trips");
    const seconds = String(context.pick(3, 1));
    for (const { what, title, on } of KINDS) {
      const row = new Row({
        id: what,
        group: "metadata",
        title,
        unit: "operations/s",
        better: "higher",
        conditions: "one thread, nothing the kernel remembers; client and server on different processors",
        yardstick: BARE,
        target: { of: "ratio", atLeast: 0.9 },
      });
      for (let round = 0; round < context.rounds(7); round++) {
        context.progress(`${title}, round ${round + 1}`);
        const figures = {};
        for (const name of inTurn(Object.keys(places), round)) {
          const measure = () => run(...onClientsProcessor(client, what, on(places[name]), seconds, "1"));
          figures[name] = Number(await (name === OURS ? loop.during(mount, title, measure) : measure()));
        }
        row.add(figures);
      }
      yield row.finish();
    }
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/**
 * Puts the servers' main threads on one processor and the client on another. The scheduler puts the two now together and
 * now apart, and on one processor a round trip takes half as long: it would decide the ratio.
 *
 * @returns what to run for a command on the client's processor
 */
async function separate(servers) {
  if (cpus().length < 2) return (command, ...args) => [command, args];
  for (const { pid } of servers) await run("taskset", ["-cp", "1", String(pid)]);
  return (...command) => ["taskset", ["-c", "0", ...command]];
}
