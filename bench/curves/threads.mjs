/** From one thread to sixty-four: does the daemon become the bottleneck, and where? */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bash, run } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { Curve } from "../support/curve.mjs";
import { nativeName } from "../support/machine.mjs";
import { OURS } from "../support/row.mjs";
import { Workspace } from "../support/workspace.mjs";
import { compile, mountYardstick } from "../support/yardsticks.mjs";

export const family = {
  id: "threads",
  title: "threads",
  needs: ["root", "fuse", "cc"],
  minutes: 2,
  measure,
};

const BARE = "bare C loop";
const SERVED = "podfs, no passthrough";

async function* measure(context) {
  const native = await nativeName();
  const workspace = await Workspace.create();
  try {
    const client = await compile(workspace, "round-trips");
    const bare = await mountYardstick(workspace, "bare-loop");
    const mount = await workspace.mount(await workspace.path("store"), "workspace", "--create");
    const served = await workspace.mount(
      ...[await workspace.path("store-2"), "served", "--create", "--no-passthrough"],
      ...["--cache-dir", await workspace.path("cache-2")],
    );
    const files = {
      [native]: join(workspace.directory, "file"),
      [BARE]: bare.file,
      [OURS]: join(mount.directory, "file"),
      [SERVED]: join(served.directory, "file"),
    };
    const sizeMiB = context.pick(256, 32);
    for (const file of Object.values(files)) {
      await writeFile(file, "");
      await bash(`dd if=/dev/urandom of=${file} bs=1M count=${sizeMiB} status=none`);
    }
    for (const one of [mount, served]) await one.flush();
    for (const { kind, who, ...description } of kinds(native)) {
      const curve = new Curve({ ...description, group: "threads", xLabel: "threads", xUnit: "count" });
      for (const [index, threads] of context.pick([1, 2, 4, 8, 16, 32, 64], [1, 8, 64]).entries()) {
        context.progress(`${description.title}, ${threads} threads`);
        for (const name of inTurn(who, index)) {
          const args = [kind, files[name], String(context.pick(2, 0.5)), String(threads)];
          curve.add(name, threads, Number(await run(client, args)));
        }
      }
      yield curve.finish();
    }
  } finally {
    await workspace.dispose();
  }
}

function kinds(native) {
  const common = { yLabel: "per second, all threads", unit: "operations/s" };
  return [
    {
      ...common,
      ...{ id: "threads-stat", title: "stat(2)", kind: "stat", who: [native, OURS] },
      conditions: "one file, cached by the kernel",
    },
    {
      ...common,
      ...{ id: "threads-getattr", title: "getattr that insists on asking", kind: "getattr", who: [BARE, OURS] },
      conditions: "every one is a round trip",
    },
    {
      ...common,
      ...{ id: "threads-read", title: "4 KiB random read", kind: "read", who: [native, OURS, SERVED] },
      conditions: "one file, page cache warm",
    },
  ];
}
