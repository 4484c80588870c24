/** A volume of a million files on a machine that has never seen it. */
import { bash, timed } from "../support/commands.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { OURS, Row } from "../support/row.mjs";
import { writeSyntheticVolume } from "../support/synthetic-volume.mjs";
import { Workspace } from "../support/workspace.mjs";

export const family = {
  id: "million",
  title: "a million files",
  needs: ["root", "fuse"],
  minutes: 2,
  measure,
};

async function* measure(context) {
  const files = context.pick(1_000_000, 20_000);
  const rows = describe(files);
  const workspace = await Workspace.create();
  try {
    const store = await workspace.path("store");
    context.progress(`writing a volume of ${files} files`);
    await writeSyntheticVolume(store, files);
    const loop = await EventLoopRow.start(workspace, family);
    // Loading modules takes what it takes; nobody can be using the mount yet.
    const start = await EventLoopRow.start(workspace, { id: "mounting", title: "mounting, before it answers" }, null);
    for (let round = 0; round < context.rounds(3); round++) {
      context.progress(`mount of ${files} files, round ${round + 1}`);
      let mount;
      const cache = ["--cache-dir", await workspace.path(`cache-${round}`)];
      rows.mount.add({
        [OURS]: await timed(async () => {
          mount = await workspace.mount(store, `cold-${round}`, ...cache);
        }),
      });
      await start.take(mount, "mounting");
      await loop.ignore(mount);
      rows.find.add({ [OURS]: await timed(() => bash(`find ${mount.directory} -printf '%s\\n' | wc -l`)) });
      const report = await loop.take(mount, "find");
      const mappedBytes = await mount.memory("RssFile");
      rows.memory.add({ [OURS]: await mount.memory() }, { mappedBytes, ...report.memory });
      await mount.unmount();
    }
    for (const row of Object.values(rows)) yield row.finish();
    yield start.finish();
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

function describe(files) {
  const common = { group: "a million files", better: "lower" };
  const count = files.toLocaleString("en-US");
  return {
    mount: new Row({
      ...common,
      id: "million-mount",
      title: `mount of a volume of ${count} files`,
      unit: "s",
      conditions: "new cache directory, volume in a directory, four records a file",
      target: { of: "value", atMost: 10 },
    }),
    find: new Row({
      ...common,
      id: "million-find",
      title: "find -printf %s over it",
      unit: "s",
      conditions: "right after the mount: every name and every size",
    }),
    memory: new Row({
      ...common,
      id: "million-memory",
      title: "resident memory after it",
      unit: "B",
      conditions: "VmRSS; mappedBytes in the samples is page cache of the database within it",
      target: { of: "value", atMost: 400e6, text: "≤ 400 MB (381 MiB)" },
    }),
  };
}
