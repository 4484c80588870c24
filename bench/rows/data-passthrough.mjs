/** Large files through passthrough, against the same on the cache directory's own filesystem. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { bash } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { settle } from "../support/files.mjs";
import { fio } from "../support/fio.mjs";
import { nativeName } from "../support/machine.mjs";
import { backMemory } from "../support/memory.mjs";
import { OURS, Row } from "../support/row.mjs";
import { Workspace } from "../support/workspace.mjs";

/** A sequential write takes a quarter of a second, and meets what the host does to the machine's memory, on either side. */
const ROUNDS = 9;
/** The pages of a new file, twice over, since they do not stay backed. */
const BACKED_BYTES_PER_MIB = 2 << 20;

/** Also of data-served.mjs. */
export const DATA_JOBS = [
  { id: "write", title: "sequential write, new file", rw: "write", blockSize: "1M" },
  { id: "random-write", title: "4 KiB random write, new file", rw: "randwrite", blockSize: "4k" },
  { id: "read", title: "sequential read", rw: "read", blockSize: "1M" },
  { id: "random-read", title: "4 KiB random read", rw: "randread", blockSize: "4k" },
  { id: "mmap-read", title: "mmap read", rw: "read", blockSize: "64k", engine: "mmap" },
].map((job) => ({ ...job, figure: job.rw.startsWith("rand") ? "operationsPerSecond" : "bytesPerSecond" }));

export const family = {
  id: "data",
  title: "large files, passthrough",
  needs: ["root", "fuse", "fio"],
  minutes: 3,
  measure,
};

async function* measure(context) {
  const native = await nativeName();
  const workspace = await Workspace.create();
  try {
    const mount = await workspace.mount(
      await workspace.path("store"),
      "workspace",
      "--create",
      "--durability",
      "local",
    );
    const loop = await EventLoopRow.start(workspace, family);
    const places = {
      [native]: { directory: await workspace.path("native"), watched: (_what, action) => action() },
      [OURS]: {
        directory: mount.directory,
        watched: (what, action) => loop.during(mount, what, action),
      },
    };
    const sizeMiB = context.pick(1024, 128);
    for (const { directory } of Object.values(places))
      await bash(`dd if=/dev/urandom of=${join(directory, "read")} bs=1M count=${sizeMiB} status=none`);
    await mount.flush();
    for (const job of DATA_JOBS) {
      const row = new Row(describe(job, native));
      for (let round = 0; round < context.rounds(ROUNDS); round++) {
        context.progress(`${job.title}, round ${round + 1}`);
        const figures = {};
        for (const name of inTurn(Object.keys(places), round))
          figures[name] = await runJob(job, places[name], { mount, round, sizeMiB, seconds: context.pick(3, 1) });
        row.add(figures);
      }
      yield row.finish();
    }
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

async function runJob(job, { directory, watched }, { mount, round, sizeMiB, seconds }) {
  const isNew = job.rw.includes("write");
  const file = join(directory, isNew ? `${job.id}-${round}` : "read");
  const isTimed = job.rw.startsWith("rand");
  // Else the disk still writes what others have left, or podfs uploads it, and makes who writes now wait.
  if (isNew) {
    await settle(mount);
    await backMemory(sizeMiB * BACKED_BYTES_PER_MIB, { byHugePages: true });
  }
  const result = await watched(job.title, () => fio(file, { ...job, sizeMiB, ...(isTimed ? { seconds } : {}) }));
  // At once, before it is written back and uploaded while others are measured.
  if (isNew) await rm(file);
  return result;
}

function describe({ id, title, figure, rw }, native) {
  return {
    id: `data-${id}`,
    group: "large files, passthrough",
    title,
    unit: figure === "bytesPerSecond" ? "B/s" : "operations/s",
    better: "higher",
    conditions: rw.includes("write")
      ? "page cache, no fsync; memory backed before each turn"
      : "cached, page cache warm on both sides",
    yardstick: native,
    target: { of: "ratio", atLeast: 0.9 },
  };
}
