/** From a thousand to a million files: what each costs in time and memory. */
import { join } from "node:path";
import { encodeCheckpoint, loadCompressor, mergeCheckpoint, readCheckpoint } from "../../dist/format/index.js";
import { bash, timed } from "../support/commands.mjs";
import { Curve } from "../support/curve.mjs";
import { makeFiles, settle } from "../support/files.mjs";
import { nativeName } from "../support/machine.mjs";
import { OURS } from "../support/row.mjs";
import { checkpointHeader, syntheticRecords, writeSyntheticVolume } from "../support/synthetic-volume.mjs";
import { Workspace } from "../support/workspace.mjs";

const FILE_BYTES = 512;

export const family = {
  id: "files",
  title: "number of files",
  needs: ["root", "fuse", "python3"],
  minutes: 6,
  measure,
};

async function* measure(context) {
  const native = await nativeName();
  const curves = describe();
  // Creating a million files one by one takes most of ten minutes; what comes after needs no real ones.
  for (const files of context.pick([1e3, 1e4, 1e5], [1e3, 3e3])) await createAndEvict(context, files, native, curves);
  for (const files of context.pick([1e3, 1e4, 1e5, 1e6], [1e3, 1e4])) await mountAndFind(context, files, curves);
  for (const files of context.pick([1e3, 1e4, 1e5, 1e6], [1e3, 1e4])) {
    context.progress(`checkpoint of ${files} files`);
    curves.checkpoint.add(OURS, files, (await secondsToMerge(files)) / files);
  }
  for (const curve of Object.values(curves)) yield curve.finish();
}

/** Real files: written, published, evicted, read again. */
async function createAndEvict(context, files, native, curves) {
  const workspace = await Workspace.create();
  try {
    context.progress(`creating ${files} files`);
    const mount = await workspace.mount(await workspace.path("store"), "workspace", "--create");
    const places = { [native]: await workspace.path("native"), [OURS]: mount.directory };
    for (const [name, place] of Object.entries(places)) {
      const seconds = await timed(() => makeFiles("tree", join(place, "tree"), files, FILE_BYTES));
      curves.create.add(name, files, seconds / files);
      if (name === OURS) curves.publish.add(name, files, (await timed(() => mount.flush())) / files);
      await settle();
    }
    curves.memoryAfterCreating.add(OURS, files, await mount.memory());
    context.progress(`evicting ${files} files and reading them again`);
    curves.evict.add(OURS, files, (await timed(() => mount.dropCache())) / files);
    const read = () => bash(`find ${mount.directory} -type f -exec cat {} + | wc -c`);
    curves.cold.add(OURS, files, (await timed(read)) / files);
  } finally {
    await workspace.dispose();
  }
}

/** A volume that others filled, on a new machine. */
async function mountAndFind(context, files, curves) {
  const workspace = await Workspace.create();
  try {
    context.progress(`mounting ${files} files`);
    const store = await workspace.path("store");
    await writeSyntheticVolume(store, files);
    let mount;
    const seconds = await timed(async () => {
      mount = await workspace.mount(store, "workspace");
    });
    curves.mount.add(OURS, files, seconds);
    curves.memoryAfterMount.add("after the mount", files, await mount.memory());
    const find = () => bash(`find ${mount.directory} -printf '%s\\n' | wc -l`);
    curves.find.add("first time", files, (await timed(find)) / files);
    curves.memoryAfterMount.add("after find", files, await mount.memory());
    curves.memoryAfterMount.add("after find, without mapped files", files, await mount.memory("RssAnon"));
    curves.find.add("again", files, (await timed(find)) / files);
  } finally {
    await workspace.dispose();
  }
}

/** What the checkpoint worker does: reads the last checkpoint, merges what has changed, writes the next. */
async function secondsToMerge(files) {
  await loadCompressor();
  const before = [...encodeCheckpoint(checkpointHeader(files), syntheticRecords(files))];
  return await timed(async () => {
    const merged = mergeCheckpoint(readCheckpoint(before).records, []);
    for (const _piece of encodeCheckpoint({ ...checkpointHeader(files), segmentSeq: 2 }, merged));
  });
}

function describe() {
  const curve = (id, title, conditions) =>
    new Curve({
      ...{ id: `files-${id}`, group: "number of files", title, conditions },
      ...{ xLabel: "files", xUnit: "count", yLabel: "per file", unit: "s" },
    });
  const total = (id, title, conditions, rest) => {
    const { description } = curve(id, title, conditions);
    return new Curve({ ...description, yLabel: "all", ...rest });
  };
  const synthetic = "volume of small files, four records each";
  return {
    create: curve("create", "creating", `open, write ${FILE_BYTES} bytes, close, from one Python process`),
    publish: curve("publish", "publishing what is left at the end", "to a directory"),
    evict: curve("evict", "evicting", "podfs cache drop"),
    cold: curve("cold", "reading again after that", "find -exec cat, backend in a directory"),
    mount: total("mount", "mounting on a new machine", synthetic),
    find: curve("find", "find -printf %s", synthetic),
    checkpoint: curve("checkpoint", "merging a checkpoint", synthetic),
    memoryAfterMount: total("memory", "resident memory of the daemon", synthetic, { unit: "B" }),
    memoryAfterCreating: total("memory-created", "resident memory after creating", "published", { unit: "B" }),
  };
}
